import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { type BugName, bugNames } from './bugs.ts';

export interface StormOptions {
  readonly seed: number;
  readonly minutes: number;
  /** Tasks a second, of all submitters; undefined is half of what this machine can do. */
  readonly rate: number | undefined;
  /** A mistake to put into the coordinators, which the storm must then find. */
  readonly bug: BugName | undefined;
  /** One storm for each mistake there is. */
  readonly allBugs: boolean;
}

export const usage = `usage: npm run storm -- [options]
  --seed N       which faults come when (default: any)
  --minutes N    how long faults go on (default 3; with a bug 1)
  --rate N       tasks a second (default: half of the peak, which is measured first)
  --bug NAME     run the coordinators with a mistake in them: ${bugNames.join(', ')}
  --bugs         one storm with each of these, and a table of what noticed them
It ends with 0 when all held, 1 when something did not, 2 when too little happened to say. With --bugs it ends with 0 when
each was noticed.`;

/** Throws an Error that says what is wrong with the arguments. */
export function parseOptions(args: readonly string[]): StormOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: 'string' },
      minutes: { type: 'string' },
      rate: { type: 'string' },
      bug: { type: 'string' },
      bugs: { type: 'boolean', default: false },
    },
  });
  const minutes = values.minutes ?? (values.bug === undefined && !values.bugs ? '3' : '1');
  return {
    seed: values.seed === undefined ? randomInt(1_000_000) : Number(matching('--seed', values.seed, /^\d{1,9}$/)),
    minutes: Number(matching('--minutes', minutes, /^\d{1,3}(\.\d)?$/)),
    rate: values.rate === undefined ? undefined : Number(matching('--rate', values.rate, /^[1-9]\d{0,3}$/)),
    bug: values.bug === undefined ? undefined : bugName(values.bug),
    allBugs: values.bugs,
  };
}

function matching(name: string, text: string, pattern: RegExp): string {
  if (pattern.test(text)) return text;
  throw new Error(`${name}: ${text} is not a number that makes sense here`);
}

function bugName(text: string): BugName {
  const name = bugNames.find((candidate) => candidate === text);
  if (name !== undefined) return name;
  throw new Error(`--bug: ${text} is none of ${bugNames.join(', ')}`);
}
