import { Ajv2020 } from 'ajv/dist/2020.js';
import type { IssuerProfile } from './issuer.ts';
import { schemaMistake } from './schema-mistake.ts';

/** An issuer as the settings file has it. */
type ListedIssuer = Omit<IssuerProfile, 'audience'> & Partial<Pick<IssuerProfile, 'audience'>>;

/** A node whose clock is an hour off can be made to serve; more would keep tokens alive well past their end. */
const clockToleranceSecondsMax = 7_200;
const maxAgeSecondsMax = 31_536_000;

const name = { type: 'string', minLength: 1 };
const names = { type: 'array', minItems: 1, items: name };

// Closed, and without empty values: a check of tokens that is misspelt or empty would not be made at all.
const schema = {
  type: 'array',
  maxItems: 100,
  items: {
    type: 'object',
    required: ['issuer'],
    additionalProperties: false,
    properties: {
      issuer: name,
      audience: name,
      algorithms: names,
      typ: name,
      jwksUri: name,
      clockToleranceSeconds: { type: 'integer', minimum: 0, maximum: clockToleranceSecondsMax },
      maxAgeSeconds: { type: 'integer', minimum: 1, maximum: maxAgeSecondsMax },
      requiredClaims: names,
    } satisfies Record<keyof IssuerProfile, object>,
  },
};

const validate = new Ajv2020({ allErrors: true }).compile<readonly ListedIssuer[]>(schema);

/** The list of issuers of the settings file, or every mistake in its shape with its path. */
export function checkIssuers(
  content: unknown,
  audienceDefault: string,
): { readonly issuers: readonly IssuerProfile[] } | { readonly mistakes: readonly string[] } {
  if (validate(content)) return { issuers: content.map((issuer) => ({ audience: audienceDefault, ...issuer })) };
  return { mistakes: (validate.errors ?? []).map((error) => schemaMistake(error, 'issuers')) };
}
