import type { TaskState } from '../../server/domain/task-state.ts';
import type { Action, Answer, Before, Deadline, Failure, LeaseRef } from './action.ts';
import * as circuits from './circuits.ts';
import { isNeeded, isWaiting, meaningOf } from './dependencies.ts';
import type { ModelTask } from './task-model.ts';
import * as does from './task-model.ts';
import { typeOf } from './types.ts';

/**
 * What the system should be, in a few plain lists that one action after the other changes. It knows neither the table of
 * moves nor any SQL: it says the same things a second time, in another way, so that a mistake would have to be made twice.
 */
export interface Model {
  readonly tasks: Map<string, ModelTask>;
  /** Those that were not swept yet. */
  readonly sessions: Map<string, { alive: boolean }>;
  readonly keys: Map<string, { readonly task: string; readonly request: string }>;
  /** Types that are held up; `every type` is all of them. */
  readonly heldUp: Set<string>;
  /** By type. */
  readonly circuits: Map<string, circuits.ModelCircuit>;
  /** Where the next action happens. */
  node: number;
  /** Counts actions: a later one makes tasks due behind those of an earlier one. */
  clock: number;
}

export function emptyModel(): Model {
  return {
    ...{ tasks: new Map(), sessions: new Map(), keys: new Map(), heldUp: new Set() },
    ...{ circuits: circuits.newCircuits(), node: 0, clock: 0 },
  };
}

/**
 * Does one action and answers as the system should. When others act at the same time, a claim may pass over what they
 * have locked: `took` then says what it got, and all that is asked is that it might.
 */
export function step(model: Model, action: Action, took?: readonly string[]): Answer {
  model.clock += 1;
  switch (action.kind) {
    case 'submit':
      return submit(model, action);
    case 'claim':
      return claim(model, action, took);
    case 'accept':
      return whileCurrent(model, action.ref, does.accept) === true ? 'written' : 'stale';
    case 'progress': {
      const stored = (task: ModelTask) => {
        does.progress(task, action.percent, action.checkpoint);
        return true;
      };
      return whileCurrent(model, action.ref, stored) === true ? 'written' : 'stale';
    }
    case 'succeed':
      return report(model, action, (task) => {
        // What breaks the rules for outputs is the worker's fault, not the task's.
        if (action.tooLarge) does.fail(begun(task), 'permanent', undefined);
        else does.succeed(begun(task));
        circuits.judge(model, task, action.tooLarge ? 'failed' : 'passed');
        return task.state;
      });
    case 'fail':
      return report(model, action, (task) => {
        does.fail(begun(task), action.failure, action.later ? undefined : model.clock);
        circuits.judge(model, task, verdictOf(action.failure));
        return task.state;
      });
    case 'release':
      return report(model, action, (task) => does.giveBack(begun(task)));
    case 'acknowledge':
      return report(model, action, (task) =>
        does.isCancelling(task) ? does.turn(begun(task), 'CANCELLED', 'cancelled') : 'not allowed',
      );
    case 'undeliver':
      return settlement(model, action.ref, (task) => (task.accepted ? 'not allowed' : does.giveBack(task)));
    case 'order': {
      const task = model.tasks.get(action.task);
      // Whether it is there was seen before.
      if (task === undefined) return 'done';
      const { delayed, withInput } = action.redrive;
      const due = delayed ? undefined : model.clock;
      const { attemptsMax: attempts } = typeOf(task.type);
      const again = { due, attempts, deadlines: deadlinesAtFirst(task.type), withInput, waits: isWaiting(task) };
      return does.obey(task, action.command, again);
    }
    case 'hold up':
      model.heldUp.add(action.type);
      return 'done';
    case 'let go':
      model.heldUp.delete(action.type);
      return 'done';
    case 'set circuit':
      circuits.setCircuit(circuits.circuitOf(model, action.type), action.mode);
      return 'done';
    case 'let circuit be tried':
      circuits.letBeTried(circuits.circuitOf(model, action.type));
      return 'done';
    case 'let window pass':
      circuits.letWindowPass(circuits.circuitOf(model, action.type));
      return 'done';
    case 'open session':
      model.sessions.set(action.name, { alive: true });
      return 'opened';
    case 'resume session': {
      const session = model.sessions.get(action.session);
      if (session === undefined || !action.secretIsRight) return 'SESSION_NOT_FOUND';
      session.alive = true;
      return 'resumed';
    }
    case 'reconcile':
      return reconcile(model, action.session, action.held);
    case 'let session expire': {
      const session = model.sessions.get(action.session);
      if (session !== undefined) session.alive = false;
      return 'done';
    }
    case 'sweep sessions':
      for (const [name, { alive }] of model.sessions) {
        if (alive) continue;
        for (const task of heldBy(model, name)) {
          does.lose(task);
          circuits.judge(model, task, 'failed');
        }
        model.sessions.delete(name);
      }
      return 'done';
    case 'let deadline pass': {
      const task = model.tasks.get(action.task);
      if (task?.deadlines.has(action.deadline)) task.passed.add(action.deadline);
      return 'done';
    }
    case 'sweep tasks':
      for (const task of model.tasks.values()) {
        // The attempt used up its own time, and not that of the task.
        const hasFailed = (task.passed.has('run') || task.passed.has('heartbeat')) && !task.passed.has('total');
        does.expire(task, model.clock);
        if (hasFailed) circuits.judge(model, task, 'failed');
      }
      return 'done';
    case 'let become due': {
      const task = model.tasks.get(action.task);
      if (task?.state === 'PENDING') task.due ??= model.clock;
      return 'done';
    }
    case 'let age': {
      const task = model.tasks.get(action.task);
      if (task !== undefined && does.hasEnded(task)) task.aged = true;
      return 'done';
    }
    case 'delete outlived':
      for (const task of [...model.tasks.values()].filter((each) => each.aged && !isNeeded(model, each))) {
        model.tasks.delete(task.name);
        if (task.key !== undefined) model.keys.delete(task.key);
      }
      return 'done';
  }
}

/** The due tasks in the order in which workers get them: priority, then how long they are due. */
export function line(model: Model): ModelTask[] {
  return [...model.tasks.values()]
    .filter((task) => task.state === 'PENDING' && !task.paused && task.due !== undefined)
    .sort(
      (a, b) =>
        b.priority - a.priority ||
        (a.due ?? 0) - (b.due ?? 0) ||
        (a.type === b.type ? a.born - b.born : a.type < b.type ? -1 : 1),
    );
}

function submit(model: Model, action: Extract<Action, { kind: 'submit' }>): Answer {
  const { name, key, type, priority, delayed, dependencies } = action;
  const request = JSON.stringify({ type, priority, delayed, dependencies });
  const earlier = key === undefined ? undefined : model.keys.get(key);
  if (earlier !== undefined) return earlier.request === request ? `existed ${earlier.task}` : 'IDEMPOTENCY_CONFLICT';
  const links = dependencies.flatMap(({ on, policy }) => {
    const task = model.tasks.get(on);
    return task === undefined ? [] : [{ on, policy, meaning: meaningOf(task, policy) }];
  });
  if (links.length < dependencies.length) return 'FIELD_INVALID';
  if (key !== undefined) model.keys.set(key, { task: name, request });
  const { attemptsMax } = typeOf(type);
  const isBlocked = links.some(({ meaning }) => meaning !== 'go on');
  const atFirst = deadlinesAtFirst(type).filter((deadline) => deadline !== 'start' || !isBlocked);
  const state = isBlocked ? 'BLOCKED' : 'PENDING';
  const task: ModelTask = {
    ...{ name, type, priority, attemptsMax, key, born: model.clock, state, attempt: 0, crashes: 0 },
    due: delayed ? undefined : model.clock,
    deadlines: new Set(atFirst),
    ...{ passed: new Set(), leases: [], accepted: false, paused: false, discarded: false },
    dependencies: links.map(({ on, policy, meaning }) => ({ on, policy, waits: meaning === 'wait' })),
    ...{ percent: null, checkpoint: null, aged: false, events: ['submitted'] },
  };
  model.tasks.set(name, task);
  if (links.some(({ meaning }) => meaning === 'give up')) does.turn(task, 'CANCELLED', 'cancelled');
  return `inserted ${name}`;
}

function deadlinesAtFirst(type: string): Deadline[] {
  const { hasStart, hasTotal } = typeOf(type);
  return [...(hasStart ? (['start'] as const) : []), ...(hasTotal ? (['total'] as const) : [])];
}

/** A permanent failure is a verdict on the task, so that wrong input opens nothing. */
function verdictOf(failure: Failure): circuits.Verdict {
  if (failure === 'fatal') return 'fatal';
  return failure === 'transient' ? 'failed' : 'passed';
}

function claim(model: Model, { session, room }: Extract<Action, { kind: 'claim' }>, took?: readonly string[]): Answer {
  if (model.sessions.get(session)?.alive !== true) return [];
  const given: ModelTask[] = [];
  for (const task of line(model)) {
    if (given.length === room || (took !== undefined && !took.includes(task.name)) || !hasRoom(model, task.type))
      continue;
    does.lease(task, session, typeOf(task.type).hasHeartbeat);
    circuits.noteLease(model, task);
    given.push(task);
  }
  return given.map(({ name, attempt, checkpoint }) => `${name} attempt ${attempt} from ${checkpoint}`).toSorted();
}

function hasRoom(model: Model, type: string): boolean {
  const { heldUp, tasks } = model;
  if (heldUp.has(type) || heldUp.has('every type') || !circuits.lets(model, type)) return false;
  const running = [...tasks.values()].filter((task) => task.type === type && task.state === 'RUNNING');
  return running.length < typeOf(type).runningMax;
}

type Outcome = TaskState | 'not allowed';

/** A worker has begun what it ends, whether or not it has said so. */
function begun(task: ModelTask): ModelTask {
  does.accept(task);
  return task;
}

/** A report that ends an attempt, with what the worker had said of it before. */
function report(
  model: Model,
  { ref, before }: { readonly ref: LeaseRef; readonly before: Before },
  act: (task: ModelTask) => Outcome,
): string {
  return settlement(model, ref, (task) => {
    if (before.accepts) does.accept(task);
    if (before.percent !== undefined) does.progress(task, before.percent, undefined);
    const outcome = act(task);
    const current = task.leases.at(-1);
    if (outcome !== 'not allowed' && current !== undefined) current.settled = true;
    return outcome;
  });
}

function settlement(model: Model, ref: LeaseRef, act: (task: ModelTask) => Outcome): string {
  const task = model.tasks.get(ref.task);
  if (task === undefined) return 'task not found';
  const outcome = whileCurrent(model, ref, act);
  if (outcome !== undefined) return outcome === 'not allowed' ? outcome : `recorded ${outcome}`;
  const hasReported = ref.disguise === 'none' && task.leases[ref.lease]?.settled === true;
  return hasReported ? 'already recorded' : 'lease lost';
}

/** A report counts while its lease is the one that is alive; else nothing happens, whatever it says. */
function whileCurrent<Result>(model: Model, ref: LeaseRef, act: (task: ModelTask) => Result): Result | undefined {
  const task = model.tasks.get(ref.task);
  const isCurrent = task?.state === 'RUNNING' && ref.disguise === 'none' && ref.lease === task.leases.length - 1;
  return isCurrent ? act(task) : undefined;
}

/** What both know goes on; what only the worker knows is over; what only the system knows goes back, unspent. */
function reconcile(model: Model, session: string, held: readonly LeaseRef[]): Answer {
  const isOf = (ref: LeaseRef) => whileCurrent(model, ref, (task) => task.leases.at(-1)?.session === session) === true;
  const verdicts = held.map((ref) => {
    if (isOf(ref)) {
      whileCurrent(model, ref, does.accept);
      return `${ref.task} keep`;
    }
    const past = ref.disguise === 'none' ? model.tasks.get(ref.task)?.leases[ref.lease] : undefined;
    return `${ref.task} ${past?.settled === true && past.session === session ? 'already finished' : 'drop'}`;
  });
  const kept = new Set(held.filter(isOf).map((ref) => ref.task));
  for (const task of heldBy(model, session)) if (!kept.has(task.name)) does.giveBack(task);
  return verdicts;
}

function heldBy(model: Model, session: string): ModelTask[] {
  return [...model.tasks.values()].filter(
    (task) => task.state === 'RUNNING' && task.leases.at(-1)?.session === session,
  );
}
