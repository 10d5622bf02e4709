import { Ajv2020 } from 'ajv/dist/2020.js';
import { type Permission, permissions } from './permission.ts';
import { schemaMistake } from './schema-mistake.ts';

/** A claim must have the value, or contain it when the claim is a list. */
export type ClaimValue = string | number | boolean;

/** The policy file as written. */
export interface PolicyDocument {
  readonly roles: Readonly<Record<string, readonly Permission[]>>;
  readonly bindings: readonly {
    readonly role: string;
    readonly claims: Readonly<Record<string, ClaimValue>>;
    readonly namespaces: readonly string[];
    readonly task_types: readonly string[];
    readonly until?: string;
  }[];
}

const schema = {
  type: 'object',
  required: ['roles', 'bindings'],
  additionalProperties: false,
  properties: {
    roles: {
      type: 'object',
      maxProperties: 1_000,
      additionalProperties: { type: 'array', minItems: 1, uniqueItems: true, items: { enum: [...permissions] } },
    },
    bindings: {
      type: 'array',
      maxItems: 10_000,
      items: {
        type: 'object',
        required: ['role', 'claims', 'namespaces', 'task_types'],
        additionalProperties: false,
        properties: {
          role: { type: 'string' },
          // An empty list of claims would bind everybody.
          claims: {
            type: 'object',
            minProperties: 1,
            additionalProperties: { type: ['string', 'number', 'boolean'] },
          },
          namespaces: { type: 'array', minItems: 1, items: { type: 'string' } },
          task_types: { type: 'array', minItems: 1, items: { type: 'string' } },
          until: { type: 'string' },
        },
      },
    },
  },
};

const validate = new Ajv2020({ allErrors: true, allowUnionTypes: true }).compile<PolicyDocument>(schema);

/** The document, or every mistake in its shape with its path. */
export function checkShape(
  content: unknown,
): { readonly document: PolicyDocument } | { readonly mistakes: readonly string[] } {
  if (validate(content)) return { document: content };
  return { mistakes: (validate.errors ?? []).map((error) => schemaMistake(error)) };
}
