import fc from 'fast-check';
import type { ControlCommand } from '../../server/domain/control.ts';
import type { DependencyPolicy } from '../../server/domain/dependency.ts';
import { type Action, deadlines, disguises, failures, type LeaseRef } from './action.ts';
import { circuitOf, modes } from './circuits.ts';
import { isWaitedFor } from './dependencies.ts';
import type { Model } from './model.ts';
import { hasEnded, type ModelTask } from './task-model.ts';
import { modelTypes } from './types.ts';

/** How often each kind comes, of the sum of all. */
const weights = {
  submit: 12,
  claim: 14,
  accept: 6,
  progress: 4,
  succeed: 6,
  fail: 8,
  release: 4,
  acknowledge: 4,
  undeliver: 4,
  order: 16,
  'hold up': 2,
  'let go': 4,
  'set circuit': 3,
  'let circuit be tried': 6,
  'let window pass': 1,
  'open session': 4,
  'resume session': 3,
  reconcile: 3,
  'let session expire': 4,
  'sweep sessions': 4,
  'let deadline pass': 6,
  'sweep tasks': 4,
  'let become due': 4,
  'let age': 4,
  'delete outlived': 4,
} satisfies Readonly<Record<Action['kind'], number>>;

/** A kind of action and numbers that choose among what there is when it comes. */
export interface Draw {
  readonly kind: Action['kind'];
  readonly which: number;
  readonly how: number;
  readonly roll: number;
  /** The type that it is about if it can be; left out, it is about any. */
  readonly type?: string;
}

/**
 * Reconciling goes on after its answer, so that it is not one of those that happen at the same time as others. Nor does
 * the time for which a circuit is open pass in the moment that a claim takes.
 */
const notInRaces: readonly Action['kind'][] = ['reconcile', 'let circuit be tried'];
const inRaces = (Object.keys(weights) as Action['kind'][]).filter((kind) => !notInRaces.includes(kind));
const number = fc.nat({ max: 9_999 });

function draws(kinds: readonly Action['kind'][]): fc.Arbitrary<Draw> {
  const kind = fc.oneof(...kinds.map((value) => ({ weight: weights[value], arbitrary: fc.constant(value) })));
  return fc.record({ kind, which: number, how: number, roll: number });
}

export const drawOne = draws(Object.keys(weights) as Action['kind'][]);

/** As often as they stand here. */
const ends = ['succeed', 'succeed', 'succeed', 'succeed', 'fail', 'release'] as const;

/** A type breaks and is tried again: so many things in a row hardly come by chance. What comes of it may be anything. */
export const drawOutage = fc
  .tuple(
    ...(['submit', 'submit', 'claim', 'fail', 'fail', 'let circuit be tried', 'claim'] as const).map((kind) =>
      draws([kind]),
    ),
    ...Array.from({ length: 3 }, () => draws(ends)),
  )
  .map((outage) => outage.map((draw): Draw => ({ ...draw, type: 'guarded' })));

/** Two or three that are about the same task, if they can be. */
export const drawRace = fc
  .tuple(number, fc.array(draws(inRaces), { minLength: 2, maxLength: 3 }))
  .map(([which, race]) => race.map((draw) => ({ ...draw, which })));

/** The action, or undefined when there is nothing that it could be about. */
export function actionOf(model: Model, draw: Draw, newName: string): Action | undefined {
  const { kind, which, how, roll } = draw;
  switch (kind) {
    case 'submit': {
      const key = roll % 3 === 0 && draw.type === undefined ? `key ${how % 3}` : undefined;
      const type = key === undefined ? (draw.type ?? pick(types, which) ?? 'plain') : 'plain';
      const priority = pick([4, 4, 9], how) ?? 4;
      const dependencies = roll % 5 < 2 ? dependenciesOn(model, draw) : [];
      return { kind, name: `task ${newName}`, type, priority, delayed: roll % 7 === 1, key, dependencies };
    }
    case 'claim': {
      const session = sessionOf(model, draw);
      // Others may be first in the line.
      const least = draw.type === undefined ? 1 : 5;
      return session === undefined ? undefined : { kind, session, room: least + (how % 3) };
    }
    case 'let session expire': {
      const session = sessionOf(model, draw);
      return session === undefined ? undefined : { kind, session };
    }
    case 'resume session': {
      const session = sessionOf(model, draw);
      return session === undefined ? undefined : { kind, session, secretIsRight: roll % 4 !== 0 };
    }
    case 'reconcile': {
      const session = sessionOf(model, draw);
      return session === undefined ? undefined : { kind, session, held: leasesToName(model, session, how) };
    }
    case 'accept':
    case 'undeliver': {
      const ref = leaseRef(model, draw);
      return ref && { kind, ref };
    }
    case 'progress': {
      const ref = leaseRef(model, draw);
      return ref && { kind, ref, percent: how % 100, checkpoint: roll % 2 === 0 ? roll % 256 : undefined };
    }
    case 'succeed':
    case 'fail':
    case 'release':
    case 'acknowledge': {
      const ref = leaseRef(model, draw);
      if (ref === undefined) return undefined;
      const before = { accepts: how % 3 === 0, percent: how % 5 === 0 ? how % 100 : undefined };
      if (kind === 'succeed') return { kind, ref, before, tooLarge: roll % 6 === 0 };
      if (kind !== 'fail') return { kind, ref, before };
      const task = model.tasks.get(ref.task);
      const isFinal = roll % (task !== undefined && isWaitedFor(model, task) ? 2 : 3) === 0;
      const among = draw.type === undefined ? failures : (['fatal'] as const);
      const failure = isFinal ? (pick(among, how) ?? 'transient') : 'transient';
      return { kind, ref, before, failure, later: roll % 4 === 0 };
    }
    case 'order': {
      const command = pick(orders, how) ?? 'cancel';
      const task = pick(tasksToOrder(model, command, roll), which)?.name;
      if (task === undefined) return undefined;
      return { kind, command, task, redrive: { delayed: roll % 5 === 0, withInput: roll % 3 === 0 } };
    }
    case 'let become due': {
      const task = pick([...model.tasks.keys()], which);
      return task === undefined ? undefined : { kind, task };
    }
    case 'let age': {
      const all = [...model.tasks.values()];
      const kept = all.filter((task) => hasEnded(task) && !task.aged);
      const task = pick(kept.length > 0 && roll % 4 !== 0 ? kept : all, which);
      return task === undefined ? undefined : { kind, task: task.name };
    }
    case 'let deadline pass': {
      const task = pick([...model.tasks.values()], which);
      const deadline = pick(task === undefined ? [] : roll % 5 === 0 ? deadlines : [...task.deadlines], how);
      return task === undefined || deadline === undefined ? undefined : { kind, task: task.name, deadline };
    }
    case 'hold up':
    case 'let go':
      return { kind, type: pick([...types, 'every type'], how) ?? 'plain' };
    case 'set circuit':
      return { kind, type: draw.type ?? pick(types, which) ?? 'plain', mode: pick(modes, roll) ?? 'CLOSED' };
    case 'let circuit be tried': {
      const type = pick(
        types.filter((each) => circuitOf(model, each).state === 'OPEN'),
        which,
      );
      return type === undefined ? undefined : { kind, type };
    }
    case 'let window pass':
      return { kind, type: 'guarded' };
    case 'open session':
      return { kind, name: `session ${newName}` };
    case 'sweep sessions':
    case 'sweep tasks':
    case 'delete outlived':
      return { kind };
  }
}

const types = Object.keys(modelTypes);

/** As often as they stand here. */
const policies: readonly DependencyPolicy[] = ['continue', 'block', 'continue', 'block', 'cancel'];

/** One to three tasks, mostly some that have not ended. */
function dependenciesOn(model: Model, { which, how, roll }: Draw): Extract<Action, { kind: 'submit' }>['dependencies'] {
  const all = [...model.tasks.values()];
  const open = all.filter((task) => !hasEnded(task));
  const among = open.length > 0 && roll % 3 !== 0 ? open : all;
  const count = Math.min(among.length, pick([1, 1, 2, 3], how) ?? 1);
  return Array.from({ length: count }, (_, place) => ({
    on: pick(among, which + place)?.name ?? '',
    policy: pick(policies, how + place) ?? 'cancel',
  }));
}

/** As often as they stand here. */
const orders: readonly ControlCommand[] = [
  ...(['cancel', 'cancel', 'cancel', 'pause', 'pause', 'resume', 'resume'] as const),
  ...(['skip', 'redrive', 'redrive', 'redrive', 'discard'] as const),
];

/** Dead letters for what is asked of them, mostly. */
function tasksToOrder(model: Model, command: ControlCommand, roll: number): ModelTask[] {
  const all = [...model.tasks.values()];
  const failed = all.filter(({ state }) => state === 'FAILED');
  // What others wait for makes the most of it, above all what has failed.
  const needed = all.filter((task) => isWaitedFor(model, task));
  const mended = needed.filter(({ state }) => state === 'FAILED');
  if ((command === 'skip' || command === 'redrive') && mended.length > 0 && roll % 5 !== 0) return mended;
  if ((command === 'skip' || command === 'cancel') && needed.length > 0 && roll % 3 === 0) return needed;
  const suits = command === 'redrive' || command === 'discard' || (command === 'skip' && roll % 2 === 0);
  return suits && failed.length > 0 && roll % 7 !== 0 ? failed : all;
}

/** Mostly one that is alive; now and then an older one, one in disguise, or one that nobody ever gave. */
function leaseRef(model: Model, { kind, which, how, roll, type }: Draw): LeaseRef | undefined {
  const all = [...model.tasks.values()];
  const running = all.filter((task) => task.state === 'RUNNING' && (type === undefined || task.type === type));
  // The failures of some change more than their own state.
  const needed = kind === 'fail' ? running.filter((each) => isWaitedFor(model, each)) : [];
  const alive = needed.length > 0 ? needed : running;
  const task = pick(alive.length > 0 && roll % 5 !== 0 ? alive : all, which);
  if (task === undefined) return undefined;
  const last = task.leases.length - 1;
  const lease = roll % 6 === 1 ? (how % (last + 2)) - 1 : last;
  return { task: task.name, lease, disguise: how % 9 === 0 ? (pick(disguises, roll) ?? 'none') : 'none' };
}

/** Some of the leases that a session has had, whether they still live or not. */
function leasesToName(model: Model, session: string, how: number): LeaseRef[] {
  const had = [...model.tasks.values()].flatMap((task: ModelTask) =>
    task.leases.flatMap((lease, index) =>
      lease.session === session ? [{ task: task.name, lease: index, disguise: 'none' } as const] : [],
    ),
  );
  return had.filter((_, index) => ((how >> (index % 8)) & 1) === 0);
}

/** Mostly one that is alive, where that makes a difference. */
function sessionOf({ sessions }: Model, { kind, which, roll }: Draw): string | undefined {
  const alive = [...sessions].filter((session) => session[1].alive);
  const among = kind === 'claim' && alive.length > 0 && roll % 6 !== 0 ? alive : [...sessions];
  return pick(among, which)?.[0];
}

function pick<Item>(items: readonly Item[], which: number): Item | undefined {
  return items[which % items.length];
}
