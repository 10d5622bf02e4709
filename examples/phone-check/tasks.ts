import { readFile } from 'node:fs/promises';
import type { Submission } from '@dstc/sdk';
import { parse } from 'csv-parse/sync';
import type { CheckNumberInput } from './check-number.ts';

/** A row of data/numbers.csv. */
export interface NumberRow {
  readonly number: string;
  /** May be empty. */
  readonly country: string;
  /** E.164, or `invalid`, or the code of the error that the task fails with. */
  readonly expected: string;
  readonly note: string;
}

/** A task and how it is to end. */
export interface PhoneCheckTask extends Submission {
  readonly input: CheckNumberInput;
  readonly expect: 'SUCCEEDED' | 'FAILED';
}

/** One task for each row of data/numbers.csv. */
export async function phoneCheckTasks(): Promise<readonly PhoneCheckTask[]> {
  return (await numberRows()).map(({ number, country, expected }) => ({
    type: 'checknumber',
    input: country === '' ? { number } : { number, country },
    labels: { example: 'phone-check' },
    expect: expected === 'COUNTRY_UNKNOWN' ? 'FAILED' : 'SUCCEEDED',
  }));
}

export async function numberRows(): Promise<readonly NumberRow[]> {
  const text = await readFile(new URL('data/numbers.csv', import.meta.url));
  return parse<NumberRow>(text, { columns: true });
}
