import type { ControlCommand } from '../../server/domain/control.ts';
import type { TaskState } from '../../server/domain/task-state.ts';
import type { Deadline, Failure } from './action.ts';
import type { ModelDependency } from './dependencies.ts';

/** One task as the model has it. */
export interface ModelTask {
  readonly name: string;
  readonly type: string;
  readonly priority: number;
  attemptsMax: number;
  readonly key: string | undefined;
  /** Orders tasks that became due at the same time. */
  born: number;
  state: TaskState;
  attempt: number;
  crashes: number;
  /** Its place in the line; undefined while its time has not come. */
  due: number | undefined;
  /** The ones that count now. */
  readonly deadlines: Set<Deadline>;
  readonly passed: Set<Deadline>;
  /** All that it has had; the last one is alive while it is RUNNING. */
  readonly leases: { readonly session: string; readonly attempt: number; settled: boolean }[];
  accepted: boolean;
  paused: boolean;
  discarded: boolean;
  percent: number | null;
  checkpoint: number | null;
  /** Ended longer ago than it is kept. */
  aged: boolean;
  /** In the order of its submission. */
  readonly dependencies: readonly ModelDependency[];
  readonly events: string[];
}

/** Losses that one task may not survive. */
const crashesMax = 5;

export function lease(task: ModelTask, session: string, hasHeartbeat: boolean): void {
  task.attempt += 1;
  task.leases.push({ session, attempt: task.attempt, settled: false });
  task.percent = null;
  dropDeadline(task, 'start');
  task.deadlines.add('run');
  if (hasHeartbeat) task.deadlines.add('heartbeat');
  turn(task, 'RUNNING', 'leased');
}

/** Answers whether it was news. */
export function accept(task: ModelTask): boolean {
  if (task.accepted) return false;
  task.accepted = true;
  task.events.push('started');
  return true;
}

export function progress(task: ModelTask, percent: number, checkpoint: number | undefined): void {
  task.percent = percent;
  task.checkpoint = checkpoint ?? task.checkpoint;
  task.passed.delete('heartbeat');
}

export function succeed(task: ModelTask): TaskState {
  return turn(task, 'SUCCEEDED', 'succeeded');
}

export function fail(task: ModelTask, failure: Failure, dueAgain: number | undefined): TaskState {
  if (isCancelling(task)) return turn(task, 'CANCELLED', 'cancelled');
  if (failure !== 'transient' || task.attempt >= task.attemptsMax) return turn(task, 'FAILED', 'failed');
  task.due = dueAgain;
  return turn(task, 'PENDING', 'retry_scheduled');
}

/** Back into the queue as if it had never been given away. */
export function giveBack(task: ModelTask): TaskState {
  if (isCancelling(task)) return turn(task, 'CANCELLED', 'cancelled');
  task.attempt -= 1;
  return turn(task, 'PENDING', 'released');
}

/** Its worker is gone. */
export function lose(task: ModelTask): TaskState {
  task.crashes += 1;
  if (isCancelling(task)) return turn(task, 'CANCELLED', 'cancelled');
  const maySurvive = task.attempt < task.attemptsMax && task.crashes < crashesMax;
  return turn(task, maySurvive ? 'PENDING' : 'FAILED', maySurvive ? 'lease_lost' : 'failed');
}

/** Does what the first of the deadlines that have passed asks for. */
export function expire(task: ModelTask, now: number): TaskState {
  const { passed } = task;
  if (hasEnded(task) || passed.size === 0) return task.state;
  if (passed.has('total')) return turn(task, 'FAILED', 'failed');
  if (passed.has('cancel')) return turn(task, 'CANCELLED', 'cancelled');
  if (passed.has('start')) return turn(task, 'FAILED', 'failed');
  if (isCancelling(task)) return turn(task, 'CANCELLED', 'cancelled');
  if (task.attempt >= task.attemptsMax) return turn(task, 'FAILED', 'failed');
  task.due = now;
  return turn(task, 'PENDING', 'lease_lost');
}

/** What people ask for: done, done before, or not possible. */
export function obey(task: ModelTask, command: ControlCommand, again: Beginning): 'done' | 'STATE_CONFLICT' {
  switch (command) {
    case 'cancel':
      if (task.state === 'CANCELLED' || isCancelling(task)) return 'done';
      if (hasEnded(task)) return 'STATE_CONFLICT';
      if (task.state === 'RUNNING') {
        task.deadlines.add('cancel');
        task.events.push('cancel_requested');
      } else turn(task, 'CANCELLED', 'cancelled');
      return 'done';
    case 'pause':
    case 'resume':
      if (hasEnded(task)) return 'STATE_CONFLICT';
      if (task.paused !== (command === 'pause')) task.events.push(`${command}d`);
      task.paused = command === 'pause';
      return 'done';
    case 'skip':
      if (task.state === 'SKIPPED') return 'done';
      if (!isDeadLetter(task) && !hasNotBegun(task)) return 'STATE_CONFLICT';
      turn(task, 'SKIPPED', 'skipped');
      return 'done';
    case 'discard':
      if (task.discarded) return 'done';
      if (!isDeadLetter(task)) return 'STATE_CONFLICT';
      task.discarded = true;
      task.events.push('discarded');
      return 'done';
    case 'redrive':
      if (!isDeadLetter(task)) return 'STATE_CONFLICT';
      task.attemptsMax = task.attempt + again.attempts;
      task.crashes = 0;
      task.due = again.due;
      task.aged = false;
      if (again.withInput) task.checkpoint = null;
      for (const deadline of again.deadlines) task.deadlines.add(deadline);
      // That one begins when it is blocked no more.
      if (again.waits) dropDeadline(task, 'start');
      turn(task, again.waits ? 'BLOCKED' : 'PENDING', 'redriven');
      return 'done';
  }
}

/** What a redrive begins with. */
interface Beginning {
  readonly due: number | undefined;
  readonly attempts: number;
  readonly deadlines: readonly Deadline[];
  readonly withInput: boolean;
  /** Whether it still waits for others. */
  readonly waits: boolean;
}

function hasNotBegun(task: ModelTask): boolean {
  return task.state === 'PENDING' || task.state === 'BLOCKED';
}

function isDeadLetter(task: ModelTask): boolean {
  return task.state === 'FAILED' && !task.discarded;
}

/** The worker was asked to stop. */
export function isCancelling(task: ModelTask): boolean {
  return task.deadlines.has('cancel');
}

export function hasEnded({ state }: { readonly state: string }): boolean {
  return ['SUCCEEDED', 'FAILED', 'CANCELLED', 'SKIPPED'].includes(state);
}

/** Everything that is so in a state, whatever led to it. */
export function turn(task: ModelTask, state: TaskState, event: string): TaskState {
  task.state = state;
  task.events.push(event);
  if (state === 'PENDING') task.accepted = false;
  if (state === 'RUNNING') return state;
  for (const deadline of ['run', 'heartbeat', 'cancel'] as const) dropDeadline(task, deadline);
  if (hasEnded(task)) {
    for (const deadline of ['start', 'total'] as const) dropDeadline(task, deadline);
    task.paused = false;
  }
  return state;
}

function dropDeadline(task: ModelTask, deadline: Deadline): void {
  task.deadlines.delete(deadline);
  task.passed.delete(deadline);
}
