import { PermanentError, RetryableError } from '@dstc/sdk';
import type { PhoneProvider } from './provider.ts';

/** The input of `checknumber`; its schema is in type.yaml. */
export interface CheckNumberInput {
  readonly number: string;
  readonly country?: string;
}

/** The output of `checknumber`. Everything but the provider is null for a number that cannot be in use. */
export interface CheckNumberOutput {
  readonly valid: boolean;
  readonly e164: string | null;
  readonly international: string | null;
  readonly country: string | null;
  readonly type: string | null;
  readonly provider: string;
}

/**
 * Checks a number with one provider. Throws `PROVIDER_INCAPABLE` (retryable: the next attempt may reach another provider)
 * and `COUNTRY_UNKNOWN` (permanent: nobody can tell which country a national number belongs to).
 */
export function checkNumber(provider: PhoneProvider, input: CheckNumberInput): CheckNumberOutput {
  const finding = provider.find(input.number, input.country);
  switch (finding.kind) {
    case 'valid':
      return { valid: true, ...finding.number, provider: provider.name };
    case 'invalid':
      return { valid: false, e164: null, international: null, country: null, type: null, provider: provider.name };
    case 'country-unknown':
      throw new PermanentError('COUNTRY_UNKNOWN', 'a national number needs the region it is of, such as "GB"');
    case 'incapable':
      throw new RetryableError('PROVIDER_INCAPABLE', finding.why);
  }
}
