import type { TaskState } from './task-state.ts';

/** What can be asked of a task. */
export const commands = [
  'unblock',
  'failDependency',
  'lease',
  'accept',
  'succeed',
  'fail',
  'release',
  'undeliver',
  'lose',
  'expireRun',
  'expireStart',
  'expireTotal',
  'cancel',
  'acknowledgeCancel',
  'revoke',
  'pause',
  'resume',
  'skip',
  'redrive',
  'discard',
] as const;
export type Command = (typeof commands)[number];

/** What the history calls a move. */
export const eventKinds = [
  'submitted',
  'unblocked',
  'leased',
  'started',
  'succeeded',
  'retry_scheduled',
  'failed',
  'released',
  'lease_lost',
  'cancel_requested',
  'cancelled',
  'paused',
  'resumed',
  'skipped',
  'redriven',
  'discarded',
] as const;
export type EventKind = (typeof eventKinds)[number];

/** Circumstances that choose between moves of one state and command. */
export type Condition =
  | 'cancel requested'
  | 'no cancel requested'
  | 'not accepted'
  | 'attempts left'
  | 'crashes left'
  | 'paused'
  | 'not paused'
  | 'not discarded'
  | 'dependencies unmet'
  | 'otherwise';

/** What a move does beside changing the state; data, carried out by the store. */
export interface Effect {
  readonly event: EventKind;
  /** `take` makes a new lease, `settle` keeps its id as a mark that it reported, `drop` forgets it. */
  readonly lease: 'none' | 'take' | 'keep' | 'settle' | 'drop';
  /** Added to the attempt number; -1 gives an attempt back. */
  readonly attempt: -1 | 0 | 1;
  /** Whether the loss counts towards the poison guard. */
  readonly crash: boolean;
  /** When a PENDING task may be leased again; unchanged keeps its place in the queue. */
  readonly available: 'unchanged' | 'after backoff' | 'on request';
  /** A mark that is set or taken away; the state stays. */
  readonly mark: 'none' | 'pause' | 'resume' | 'discard';
  /** Whether attempts, crashes and deadlines are counted from here on. */
  readonly renews: boolean;
}

export interface Move {
  readonly from: TaskState;
  readonly command: Command;
  readonly when: readonly Condition[];
  readonly to: TaskState;
  readonly effect: Effect;
  readonly why: string;
}

const stay: Omit<Effect, 'event'> = {
  lease: 'none',
  attempt: 0,
  crash: false,
  available: 'unchanged',
  mark: 'none',
  renews: false,
};
const settle: Omit<Effect, 'event'> = { ...stay, lease: 'settle' };
const drop: Omit<Effect, 'event'> = { ...stay, lease: 'drop' };

/** One move out of several states. */
function fromEach(states: readonly TaskState[], move: Omit<Move, 'from'>): Move[] {
  return states.map((from) => ({ from, ...move }));
}

/** Every move there is. For one state and command the first row whose conditions all hold is taken. */
export const moves: readonly Move[] = [
  {
    from: 'BLOCKED',
    command: 'unblock',
    when: [],
    to: 'PENDING',
    effect: { ...stay, event: 'unblocked' },
    why: 'all that it depends on has ended as its policies allow',
  },
  {
    from: 'BLOCKED',
    command: 'failDependency',
    when: [],
    to: 'CANCELLED',
    effect: { ...stay, event: 'cancelled' },
    why: 'a task that it depends on did not succeed, and it is not to run without it',
  },
  {
    from: 'PENDING',
    command: 'lease',
    when: ['not paused'],
    to: 'RUNNING',
    effect: { ...stay, event: 'leased', lease: 'take', attempt: 1 },
    why: 'a worker session has credit for it',
  },
  {
    from: 'RUNNING',
    command: 'accept',
    when: ['not accepted'],
    to: 'RUNNING',
    effect: { ...stay, event: 'started', lease: 'keep' },
    why: 'the worker has the assignment',
  },
  {
    from: 'RUNNING',
    command: 'succeed',
    when: [],
    to: 'SUCCEEDED',
    effect: { ...settle, event: 'succeeded' },
    why: 'work that is done is kept, even when a cancel was under way',
  },
  {
    from: 'RUNNING',
    command: 'fail',
    when: ['cancel requested'],
    to: 'CANCELLED',
    effect: { ...settle, event: 'cancelled' },
    why: 'nobody wants another attempt',
  },
  {
    from: 'RUNNING',
    command: 'fail',
    when: ['attempts left'],
    to: 'PENDING',
    effect: { ...settle, event: 'retry_scheduled', available: 'after backoff' },
    why: 'the failure may pass',
  },
  {
    from: 'RUNNING',
    command: 'fail',
    when: ['otherwise'],
    to: 'FAILED',
    effect: { ...settle, event: 'failed' },
    why: 'the failure will not pass, or the attempts are used up',
  },
  {
    from: 'RUNNING',
    command: 'release',
    when: ['cancel requested'],
    to: 'CANCELLED',
    effect: { ...settle, event: 'cancelled' },
    why: 'nobody wants another attempt',
  },
  {
    from: 'RUNNING',
    command: 'release',
    when: ['otherwise'],
    to: 'PENDING',
    effect: { ...settle, event: 'released', attempt: -1 },
    why: 'the worker gave it back: no attempt is spent',
  },
  {
    from: 'RUNNING',
    command: 'undeliver',
    when: ['not accepted', 'cancel requested'],
    to: 'CANCELLED',
    effect: { ...drop, event: 'cancelled' },
    why: 'it never arrived and nobody wants another attempt',
  },
  {
    from: 'RUNNING',
    command: 'undeliver',
    when: ['not accepted'],
    to: 'PENDING',
    effect: { ...drop, event: 'released', attempt: -1 },
    why: 'the assignment was lost on the way: no attempt is spent',
  },
  {
    from: 'RUNNING',
    command: 'lose',
    when: ['cancel requested'],
    to: 'CANCELLED',
    effect: { ...drop, event: 'cancelled', crash: true },
    why: 'the worker is gone and nobody wants another attempt',
  },
  {
    from: 'RUNNING',
    command: 'lose',
    when: ['attempts left', 'crashes left'],
    to: 'PENDING',
    effect: { ...drop, event: 'lease_lost', crash: true },
    why: 'the worker is gone; another one tries',
  },
  {
    from: 'RUNNING',
    command: 'lose',
    when: ['otherwise'],
    to: 'FAILED',
    effect: { ...drop, event: 'failed', crash: true },
    why: 'the attempts are used up, or the task may be what kills its workers',
  },
  {
    from: 'RUNNING',
    command: 'expireRun',
    when: ['cancel requested'],
    to: 'CANCELLED',
    effect: { ...drop, event: 'cancelled' },
    why: 'the attempt took too long, or fell silent, and nobody wants another',
  },
  {
    from: 'RUNNING',
    command: 'expireRun',
    when: ['attempts left'],
    to: 'PENDING',
    effect: { ...drop, event: 'lease_lost', available: 'after backoff' },
    why: 'the attempt took too long, or fell silent; another one may not',
  },
  {
    from: 'RUNNING',
    command: 'expireRun',
    when: ['otherwise'],
    to: 'FAILED',
    effect: { ...drop, event: 'failed' },
    why: 'the last attempt took too long, or fell silent',
  },
  {
    from: 'PENDING',
    command: 'expireStart',
    when: [],
    to: 'FAILED',
    effect: { ...stay, event: 'failed' },
    why: 'no worker began in time',
  },
  ...fromEach(['BLOCKED', 'PENDING'], {
    command: 'expireTotal',
    when: [],
    to: 'FAILED',
    effect: { ...stay, event: 'failed' },
    why: 'the task did not end in time',
  }),
  {
    from: 'RUNNING',
    command: 'expireTotal',
    when: [],
    to: 'FAILED',
    effect: { ...drop, event: 'failed' },
    why: 'the task did not end in time',
  },
  ...fromEach(['BLOCKED', 'PENDING'], {
    command: 'cancel',
    when: [],
    to: 'CANCELLED',
    effect: { ...stay, event: 'cancelled' },
    why: 'nobody works on it',
  }),
  {
    from: 'RUNNING',
    command: 'cancel',
    when: ['no cancel requested'],
    to: 'RUNNING',
    effect: { ...stay, event: 'cancel_requested', lease: 'keep' },
    why: 'its worker is asked to stop and has a grace to do so',
  },
  {
    from: 'RUNNING',
    command: 'acknowledgeCancel',
    when: ['cancel requested'],
    to: 'CANCELLED',
    effect: { ...settle, event: 'cancelled' },
    why: 'the worker has stopped',
  },
  {
    from: 'RUNNING',
    command: 'revoke',
    when: ['cancel requested'],
    to: 'CANCELLED',
    effect: { ...drop, event: 'cancelled' },
    why: 'the worker did not stop within the grace',
  },
  {
    from: 'BLOCKED',
    command: 'pause',
    when: ['not paused'],
    to: 'BLOCKED',
    effect: { ...stay, event: 'paused', mark: 'pause' },
    why: 'it is not leased while it is paused, also when it is no longer blocked',
  },
  {
    from: 'PENDING',
    command: 'pause',
    when: ['not paused'],
    to: 'PENDING',
    effect: { ...stay, event: 'paused', mark: 'pause' },
    why: 'it is not leased while it is paused',
  },
  {
    from: 'RUNNING',
    command: 'pause',
    when: ['not paused'],
    to: 'RUNNING',
    effect: { ...stay, event: 'paused', lease: 'keep', mark: 'pause' },
    why: 'this attempt goes on, and no other one begins while it is paused',
  },
  {
    from: 'BLOCKED',
    command: 'resume',
    when: ['paused'],
    to: 'BLOCKED',
    effect: { ...stay, event: 'resumed', mark: 'resume' },
    why: 'it may be leased again',
  },
  {
    from: 'PENDING',
    command: 'resume',
    when: ['paused'],
    to: 'PENDING',
    effect: { ...stay, event: 'resumed', mark: 'resume' },
    why: 'it may be leased again',
  },
  {
    from: 'RUNNING',
    command: 'resume',
    when: ['paused'],
    to: 'RUNNING',
    effect: { ...stay, event: 'resumed', lease: 'keep', mark: 'resume' },
    why: 'it may be leased again',
  },
  ...fromEach(['BLOCKED', 'PENDING'], {
    command: 'skip',
    when: [],
    to: 'SKIPPED',
    effect: { ...stay, event: 'skipped' },
    why: 'it is not needed; what depends on it goes on',
  }),
  {
    from: 'FAILED',
    command: 'skip',
    when: ['not discarded'],
    to: 'SKIPPED',
    effect: { ...stay, event: 'skipped' },
    why: 'it is not needed after all; what depends on it goes on',
  },
  {
    from: 'FAILED',
    command: 'redrive',
    when: ['not discarded', 'dependencies unmet'],
    to: 'BLOCKED',
    effect: { ...stay, event: 'redriven', available: 'on request', renews: true },
    why: 'it begins anew, and still waits for tasks that it depends on',
  },
  {
    from: 'FAILED',
    command: 'redrive',
    when: ['not discarded'],
    to: 'PENDING',
    effect: { ...stay, event: 'redriven', available: 'on request', renews: true },
    why: 'its cause is gone, or its input was mended',
  },
  {
    from: 'FAILED',
    command: 'discard',
    when: ['not discarded'],
    to: 'FAILED',
    effect: { ...stay, event: 'discarded', mark: 'discard' },
    why: 'nobody will mend it: it is a dead letter no more',
  },
];
