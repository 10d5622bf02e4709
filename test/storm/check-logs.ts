import type { Property, Violation } from './property.ts';

/** What the coordinators and Postgres have written. */
export interface Logs {
  readonly coordinators: string;
  readonly postgres: string;
}

/** Holds the logs against what a fault may lead to: warnings. Errors, and whatever is no line of the log, are surprises. */
export function checkLogs({ coordinators, postgres }: Logs): Property[] {
  const lines = coordinators.split('\n').filter((line) => line !== '');
  return [
    {
      name: 'coordinators meet nothing that they do not expect',
      violations: lines.flatMap(surpriseIn),
      samples: lines.length,
      samplesMin: 1,
      figure: 'lines of their log',
    },
    {
      name: 'no statements wait for each other',
      violations: deadlocksIn(postgres),
      samples: postgres.split('\n').length,
      samplesMin: 2,
      figure: 'lines of the log of Postgres',
    },
  ];
}

/** The level of a line from which on it tells of what should not have happened. */
const errorLevel = 50;

interface LogLine {
  readonly level: number;
  readonly node: string;
  readonly msg: string;
  readonly err?: { readonly type?: string; readonly message?: string; readonly stack?: string };
  readonly fault?: unknown;
}

function surpriseIn(line: string): Violation[] {
  // What Node itself writes, or a process that ends.
  if (!line.startsWith('{')) return [{ text: line }];
  const parsed = parse(line);
  if (parsed === undefined || parsed.level < errorLevel) return [];
  const { node, msg, err, fault } = parsed;
  const where = err?.stack?.split('\n').find((frame) => frame.includes('/server/'));
  const why = err === undefined ? JSON.stringify(fault ?? {}) : `${err.type ?? ''} ${err.message ?? ''}${where ?? ''}`;
  return [{ text: `${node}: ${msg}: ${why}` }];
}

/** Undefined for a line whose writer was killed in the middle of it. */
function parse(line: string): LogLine | undefined {
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return undefined;
  }
}

/** Each with what its statements waited for; the statements themselves are in the log. */
function deadlocksIn(log: string): Violation[] {
  const [, ...deadlocks] = log.split('ERROR:  deadlock detected\n');
  return deadlocks.map((text) => {
    const detail = text.slice(0, text.search(/\n.*HINT: /));
    const lines = detail.split('\n').map((line) => line.trim());
    return {
      text: lines.filter((line) => /waits for|^UPDATE |^INSERT |^DELETE |FOR (NO KEY )?UPDATE/.test(line)).join('; '),
    };
  });
}
