import google from 'google-libphonenumber';
import { type Finding, hasCountryCode, type PhoneProvider } from '../provider.ts';

/** Google's own library, compiled to JavaScript: large, and reads vanity numbers too. */
export const googleLibphonenumber: PhoneProvider = { name: 'google-libphonenumber', find };

// The package is CommonJS that Node cannot look into, so there is only the whole of it to import.
const { PhoneNumberFormat, PhoneNumberType, PhoneNumberUtil } = google;
const library = PhoneNumberUtil.getInstance();
const nameOfType = new Map(Object.entries(PhoneNumberType).map(([name, value]) => [value, name]));
/** What the library answers for numbers that belong to no country. */
const noCountry = '001';

function find(written: string, country: string | undefined): Finding {
  try {
    return finding(library.parse(written, country));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (error.message === 'Invalid country calling code' && !hasCountryCode(written))
      return { kind: 'country-unknown' };
    if (parseErrors.has(error.message)) return { kind: 'invalid' };
    throw error;
  }
}

/** The library throws plain errors; these are the ones that speak of the number. */
const parseErrors: ReadonlySet<string> = new Set([
  'Invalid country calling code',
  'The string supplied did not seem to be a phone number',
  'Phone number too short after IDD',
  'The string supplied is too short to be a phone number',
  'The string supplied is too long to be a phone number',
]);

function finding(number: ReturnType<typeof library.parse>): Finding {
  const type = nameOfType.get(library.getNumberType(number));
  if (!library.isValidNumber(number) || type === undefined) return { kind: 'invalid' };
  const country: string | undefined = library.getRegionCodeForNumber(number);
  return {
    kind: 'valid',
    number: {
      e164: library.format(number, PhoneNumberFormat.E164),
      // Some countries part the groups by hyphens; the contract wants spaces.
      international: library.format(number, PhoneNumberFormat.INTERNATIONAL).replace(/[-/]+/g, ' '),
      country: country === undefined || country === noCountry ? null : country,
      type,
    },
  };
}
