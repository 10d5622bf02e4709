import { type CountryCode, ParseError, type PhoneNumber, parsePhoneNumberWithError } from 'libphonenumber-js/max';
import { type Finding, hasCountryCode, type PhoneProvider } from '../provider.ts';

/** libphonenumber-js: small and quick. It cannot read letters as digits: it cuts 1-800-FLOWERS down to 1800. */
export const libphonenumberJs: PhoneProvider = { name: 'libphonenumber-js', find };

function find(written: string, country: string | undefined): Finding {
  if (isVanity(written)) return { kind: 'incapable', why: 'libphonenumber-js does not read letters as digits' };
  try {
    return finding(parsePhoneNumberWithError(written, country as CountryCode | undefined));
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    if (error.message === 'INVALID_COUNTRY' && !hasCountryCode(written)) return { kind: 'country-unknown' };
    return { kind: 'invalid' };
  }
}

function finding(number: PhoneNumber): Finding {
  const type = number.getType();
  if (!number.isValid() || type === undefined) return { kind: 'invalid' };
  return {
    kind: 'valid',
    number: {
      e164: number.number,
      international: number.formatInternational(),
      country: number.country ?? null,
      type,
    },
  };
}

/** Digits followed by a word of three letters or more, other than the words that announce an extension. */
function isVanity(written: string): boolean {
  const number = written.replace(/(?:[;,]\s*)?\b(?:ext(?:ension|n)?|int|anexo)\b.*$/i, '').replace(/;.*$/, '');
  return /\d[\s().-]*[A-Za-z]+[\s().-]*[A-Za-z]+[\s().-]*[A-Za-z]+/.test(number);
}
