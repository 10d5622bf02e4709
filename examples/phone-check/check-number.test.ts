import { PermanentError, RetryableError } from '@dstc/sdk';
import { expect, test } from 'vitest';
import { checkNumber } from './check-number.ts';
import { googleLibphonenumber } from './providers/google-libphonenumber.ts';
import { libphonenumberJs } from './providers/libphonenumber-js.ts';
import { numberRows } from './tasks.ts';

const rows = await numberRows();
const inputOf = ({ number, country }: (typeof rows)[number]) => (country === '' ? { number } : { number, country });
const vanity = rows.filter(({ note }) => note.startsWith('vanity'));
const plain = rows.filter((row) => !vanity.includes(row));

test.each(rows)('google-libphonenumber finds $expected in "$number" $country', (row) => {
  expect(outcome(googleLibphonenumber, row)).toBe(row.expected);
});

test.each(plain)('libphonenumber-js finds $expected in "$number" $country', (row) => {
  expect(outcome(libphonenumberJs, row)).toBe(row.expected);
});

test.each(plain.filter(({ expected }) => expected !== 'COUNTRY_UNKNOWN'))(
  'both providers say the same of "$number" $country',
  (row) => {
    const { provider: _one, ...fromGoogle } = checkNumber(googleLibphonenumber, inputOf(row));
    const { provider: _other, ...fromJs } = checkNumber(libphonenumberJs, inputOf(row));
    expect(fromJs).toEqual(fromGoogle);
  },
);

test.each(vanity)('libphonenumber-js leaves "$number" to another provider', (row) => {
  expect(outcome(libphonenumberJs, row)).toBe('PROVIDER_INCAPABLE');
  expect(() => checkNumber(libphonenumberJs, inputOf(row))).toThrow(RetryableError);
});

test('has vanity numbers among the rows, so that a run of the example shows a retry', () => {
  expect(vanity.length).toBeGreaterThanOrEqual(3);
});

test('fails for good when nobody can tell the country', () => {
  expect(() => checkNumber(googleLibphonenumber, { number: '030 23125 077' })).toThrow(PermanentError);
});

test.each(['hello world', '1 pizza please', 'extension 12', 'ext', 'tel:', '+', '\u0000', '𝟙𝟚𝟛', '1'.repeat(250)])(
  'never throws anything else, as for "%s"',
  (number) => {
    for (const provider of [googleLibphonenumber, libphonenumberJs]) {
      expect(outcome(provider, { number, country: 'US' })).toMatch(/^(invalid|PROVIDER_INCAPABLE)$/);
    }
  },
);

function outcome(provider: typeof libphonenumberJs, { number, country }: { number: string; country: string }): string {
  try {
    const { valid, e164 } = checkNumber(provider, country === '' ? { number } : { number, country });
    return valid ? String(e164) : 'invalid';
  } catch (error) {
    if (error instanceof PermanentError || error instanceof RetryableError) return error.code;
    throw error;
  }
}
