import type { Action, Answer, Before, LeaseRef } from '../model/action.ts';
import { perform } from '../model/perform.ts';
import type { Node, System } from '../model/system.ts';

/** What the second of two did while the first had written everything and not yet committed. */
type Meeting = 'waits' | 'passes by';

export interface Outcome {
  readonly meeting: Meeting;
  readonly answers: readonly Answer[];
}

/**
 * Two actions that overlap in the one order that is wanted: the first stands right before its commit when the second
 * begins, and commits when that one waits for it, or has ended without.
 */
export async function overlap(system: System, first: Action, second: Action): Promise<Outcome> {
  const [one, other] = system.nodes as readonly [Node, Node];
  const hold = one.database.hold();
  const begun = perform(system, one, first);
  // Would it end by itself, it never came to a commit.
  await Promise.race([hold.reached, begun.then(() => Promise.reject(new Error(`${first.kind} wrote nothing`)))]);
  const following = perform(system, other, second);
  const meeting = await Promise.race([following.then(() => 'passes by' as const), untilWaiting(system, 'other')]);
  hold.release();
  const done = await Promise.all([begun, following]);
  return { meeting, answers: done.map((answer) => answer()) };
}

/** Resolves when a statement of a node waits for somebody else's transaction. */
async function untilWaiting({ sql }: System, node: string): Promise<'waits'> {
  for (;;) {
    const waiting = await sql`
      SELECT FROM pg_stat_activity
      WHERE application_name = ${node} AND datname = current_database() AND wait_event IN ('transactionid', 'tuple')`;
    if (waiting.length > 0) return 'waits';
  }
}

/** The first lease of the only task. */
const ref: LeaseRef = { task: 'task', lease: 0, disguise: 'none' };
const before: Before = { accepts: false, percent: undefined };
const redrive = { delayed: false, withInput: false };

/** What races are made of, by the names that they have in titles. */
export const does = {
  submit: {
    kind: 'submit',
    name: 'task',
    type: 'plain',
    priority: 4,
    delayed: false,
    key: undefined,
    dependencies: [],
  },
  submitNarrow: {
    kind: 'submit',
    name: 'task',
    type: 'narrow',
    priority: 9,
    delayed: false,
    key: undefined,
    dependencies: [],
  },
  submitNarrow2: {
    kind: 'submit',
    name: 'second',
    type: 'narrow',
    priority: 4,
    delayed: false,
    key: undefined,
    dependencies: [],
  },
  submitNarrow3: {
    kind: 'submit',
    name: 'third',
    type: 'narrow',
    priority: 4,
    delayed: false,
    key: undefined,
    dependencies: [],
  },
  submitWithKey: {
    kind: 'submit',
    name: 'task',
    type: 'plain',
    priority: 4,
    delayed: false,
    key: 'key',
    dependencies: [],
  },
  submitAgain: {
    kind: 'submit',
    name: 'again',
    type: 'plain',
    priority: 4,
    delayed: false,
    key: 'key',
    dependencies: [],
  },
  open: { kind: 'open session', name: 'session' },
  claim: { kind: 'claim', session: 'session', room: 1 },
  openOther: { kind: 'open session', name: 'other' },
  claimAsOther: { kind: 'claim', session: 'other', room: 1 },
  succeed: { kind: 'succeed', ref, tooLarge: false, before },
  fail: { kind: 'fail', ref, failure: 'transient', later: true, before },
  failForGood: { kind: 'fail', ref, failure: 'permanent', later: false, before },
  acknowledge: { kind: 'acknowledge', ref, before },
  cancel: { kind: 'order', command: 'cancel', task: 'task', redrive },
  pause: { kind: 'order', command: 'pause', task: 'task', redrive },
  redrive: { kind: 'order', command: 'redrive', task: 'task', redrive },
  expire: { kind: 'let session expire', session: 'session' },
  resume: { kind: 'resume session', session: 'session', secretIsRight: true },
  sweepSessions: { kind: 'sweep sessions' },
  outrun: { kind: 'let deadline pass', task: 'task', deadline: 'run' },
  sweepTasks: { kind: 'sweep tasks' },
  age: { kind: 'let age', task: 'task' },
  deleteOutlived: { kind: 'delete outlived' },
  holdUp: { kind: 'hold up', type: 'plain' },
} as const satisfies Readonly<Record<string, Action>>;
