import type { Message } from './messages.ts';
import type { PlanType } from './plan.ts';

/** What the clients of a storm saw, to be held against the database. */
export interface StormRecord {
  /** Every key that was sent. */
  readonly sent: Map<string, PlanType>;
  /** Ids that were answered for each key. */
  readonly acknowledged: Map<string, Set<string>>;
  /** Answers that named a task that was there before. */
  existed: number;
  /** Refusals by code and reason. */
  readonly refusals: Map<string, number>;
  /** Settlements of the zombies' reports, by outcome. */
  readonly settlements: Map<string, number>;
  /** Sessions of each worker. */
  readonly sessions: Map<string, string>;
  /** What was hit when, on the wall clock of the machine. */
  readonly faults: { readonly kind: string; readonly target: string; readonly fromMs: number; toMs: number }[];
  /** What should not have happened and needs no further checking. */
  readonly accidents: string[];
}

export function createRecord(): StormRecord {
  return {
    sent: new Map(),
    acknowledged: new Map(),
    existed: 0,
    refusals: new Map(),
    settlements: new Map(),
    sessions: new Map(),
    faults: [],
    accidents: [],
  };
}

export function note(record: StormRecord, from: string, message: Message): void {
  switch (message.kind) {
    case 'sent':
      record.sent.set(message.key, message.type);
      break;
    case 'acknowledged': {
      const ids = record.acknowledged.get(message.key) ?? new Set();
      record.acknowledged.set(message.key, ids.add(message.id));
      if (message.existed) record.existed += 1;
      break;
    }
    case 'refused':
      count(record.refusals, message.why);
      break;
    case 'settled':
      count(record.settlements, message.outcome);
      break;
    case 'session':
      record.sessions.set(message.sessionId, from);
      break;
    case 'done':
      break;
  }
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
