import { parseArgs } from 'node:util';

export const figureKeys = ['a', 'b', 'c', 'd', 'e', 'f', 'g'] as const;
export type FigureKey = (typeof figureKeys)[number];

export interface BenchOptions {
  /** How long each load lasts, without its warm-up. */
  readonly seconds: number;
  /** How often everything is measured; what is compared takes turns. */
  readonly runs: number;
  readonly only: ReadonlySet<FigureKey>;
  /** Whether the peer is measured too. */
  readonly peer: boolean;
  readonly json: boolean;
  /** Where the coordinator's CPU profile goes. */
  readonly profileDir: string | undefined;
}

export const usage = `usage: npm run bench -- [options]
  --seconds N    length of each load (default 10)
  --runs N       repetitions, the compared systems taking turns (default 3)
  --only a,b     a: single submits, b: whole lifecycle, c: idle latency, d: idle cost, e: cost of limits,
                 f: subscribers, g: events to NATS
  --no-peer      leave graphile-worker out
  --quick        one run of a second: shows that every figure comes out, says nothing about speed
  --json         one JSON document instead of the table
  --profile DIR  write a CPU profile of the coordinator`;

/** Throws an Error that says what is wrong with the arguments. */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      seconds: { type: 'string' },
      runs: { type: 'string' },
      only: { type: 'string', default: figureKeys.join(',') },
      peer: { type: 'boolean', default: true },
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      profile: { type: 'string' },
    },
  });
  return {
    seconds: whole('--seconds', values.seconds, values.quick ? 1 : 10),
    runs: whole('--runs', values.runs, values.quick ? 1 : 3),
    only: new Set(values.only.split(',').map(figureKey)),
    peer: values.peer,
    json: values.json,
    profileDir: values.profile,
  };
}

function whole(name: string, text: string | undefined, byDefault: number): number {
  if (text === undefined) return byDefault;
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new Error(`${name}: ${text} is not a whole number from 1 to 9999`);
}

function figureKey(text: string): FigureKey {
  const key = figureKeys.find((candidate) => candidate === text);
  if (key !== undefined) return key;
  throw new Error(`--only: ${text} is none of ${figureKeys.join(', ')}`);
}
