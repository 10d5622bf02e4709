import { isDeepStrictEqual } from 'node:util';
import type fc from 'fast-check';
import { expect } from 'vitest';
import { checkHistory } from '../setup/check-history.ts';
import { type Action, type Answer, comesAgain } from './action.ts';
import { tellAll, whileTelling } from './dependencies.ts';
import { actionOf, type Draw } from './draw.ts';
import { type Model, step } from './model.ts';
import { perform, tellDependents } from './perform.ts';
import type { Node, System } from './system.ts';
import { type View, viewOfDatabase, viewOfModel } from './view.ts';

/** A run: the model as it is now, and how often what was seen on the way. */
export interface Run {
  model: Model;
  readonly seen: Map<string, number>;
}

type Command = fc.AsyncCommand<Run, System>;

/** One action; then everything must be as the model says. */
export function one(draw: Draw): Command {
  let about: string = draw.kind;
  return {
    check: ({ model }) => actionOf(model, draw, newName(model, 0)) !== undefined,
    async run(run, system) {
      const action = actionFor(run.model, draw, 0);
      about = JSON.stringify(action);
      const answer = (await perform(system, nodeFor(system, draw), action))();
      expect(answer, about).toEqual(step(run.model, action));
      note(run, `${action.kind === 'order' ? action.command : action.kind}: ${wordOf(answer)}`);
      await tellDependents(system);
      for (const told of tellAll(run.model)) note(run, told);
      await expectModel(run, system, about);
    },
    toString: () => about,
  };
}

/**
 * Two or three actions at the same time, on one node or on both. Whatever came of it, the model must come to the same in
 * one of the orders in which they could have happened one by one.
 */
export function race(draws: readonly Draw[]): Command {
  let about = draws.map(({ kind }) => kind).join(' | ');
  return {
    check: ({ model }) => draws.every((draw, place) => actionOf(model, draw, newName(model, place)) !== undefined),
    async run(run, system) {
      const actions = draws.map((draw, place) => byItself(actionFor(run.model, draw, place)));
      about = actions.map((action) => JSON.stringify(action)).join(' | ');
      const done = await Promise.all(
        draws.map((draw, place) => perform(system, nodeFor(system, draw), actions[place] ?? { kind: 'sweep tasks' })),
      );
      const answers = done.map((answer) => answer());
      await tellDependents(system);
      const sweeps = actions.filter(({ kind }) => comesAgain.includes(kind));
      for (const action of sweeps) await perform(system, nodeFor(system), action);
      await tellDependents(system);
      const seen = withoutOrder(await viewOfDatabase(system.sql, system.names));
      const outcomes = ordersOf(actions.map((_, place) => place)).flatMap((order) => {
        const ways = order.reduce<Way[]>(
          (before, place) => before.flatMap((way) => further(way, place, actions[place], answers[place])),
          [{ model: run.model, answers: [] }],
        );
        return ways.map(({ model, answers: expected }) => {
          tellAll(model);
          for (const action of sweeps) step(model, action);
          tellAll(model);
          return { model, result: { answers: expected, ...withoutOrder(viewOfModel(model)) } };
        });
      });
      const found = { answers, ...seen };
      const right = outcomes.find(({ result }) => isDeepStrictEqual(result, found));
      // Said as a difference from the order in which they stand here.
      if (right === undefined) expect(found, `no order explains ${about}`).toEqual(outcomes[0]?.result);
      else run.model = right.model;
      await alignInstants(run.model, system);
      note(run, actions.length === 2 ? 'race of two' : 'race of three');
      await expectModel(run, system, about);
    },
    toString: () => about,
  };
}

/** One way in which things could have come until now. */
interface Way {
  readonly model: Model;
  readonly answers: readonly Answer[];
}

/** What follows when the next action comes; what ended before it may have been told to none, some or all of its dependents. */
function further(
  { model, answers }: Way,
  place: number,
  action: Action | undefined,
  answer: Answer | undefined,
): Way[] {
  if (action === undefined) return [];
  return whileTelling(model).map((told) => {
    const next = structuredClone(told);
    const expected = [...answers];
    expected[place] = step(next, action, tasksIn(answer));
    return { model: next, answers: expected };
  });
}

async function expectModel({ model }: Run, system: System, about: string): Promise<void> {
  expect(await viewOfDatabase(system.sql, system.names), about).toEqual(viewOfModel(model));
}

/** Histories only grow, so that what was ever wrong with one can be seen at the end. */
export async function expectSoundHistories(run: Run, system: System): Promise<void> {
  const ids = [...run.model.tasks.keys()].map(system.tasks.id);
  if (ids.length === 0) return;
  const { byKind } = await checkHistory(system.sql, ids, { allEnded: false });
  for (const kind of Object.keys(byKind)) note(run, kind);
}

/**
 * Which of several things at once was first by the clock has nothing to do with who waited for whom: the model takes the
 * instants from the table, and holds the system to them from then on.
 */
async function alignInstants(model: Model, { sql, names }: System): Promise<void> {
  const rows = await sql<{ id: string; due: number; born: number }[]>`
    SELECT id, dense_rank() OVER (ORDER BY available_time)::int AS due, rank() OVER (ORDER BY id)::int AS born
    FROM task`;
  for (const { id, due, born } of rows) {
    const task = model.tasks.get(names.task(id));
    if (task === undefined) continue;
    task.born = born;
    if (task.due !== undefined) task.due = due;
  }
  model.clock = Math.max(model.clock, rows.length);
}

function withoutOrder(view: View): View {
  return { ...view, line: view.line.toSorted() };
}

function actionFor(model: Model, draw: Draw, place: number): Action {
  const action = actionOf(model, draw, newName(model, place));
  if (action === undefined) throw new Error(`${draw.kind} was checked and cannot be done`);
  return action;
}

function newName(model: Model, place: number): string {
  return `${model.clock}${'abc'[place]}`;
}

function nodeFor({ nodes }: System, draw?: Draw): Node {
  const node = nodes[(draw?.how ?? 0) % nodes.length];
  if (node === undefined) throw new Error('a system without nodes');
  return node;
}

/** What a worker says right before its report is an action of its own when others act at the same time. */
function byItself(action: Action): Action {
  return 'before' in action ? { ...action, before: { accepts: false, percent: undefined } } : action;
}

/** The tasks that a claim was answered with. */
function tasksIn(answer: Answer | undefined): readonly string[] | undefined {
  return typeof answer === 'object' ? answer.map((text) => text.split(' attempt ')[0] ?? '') : undefined;
}

function ordersOf(places: readonly number[]): number[][] {
  if (places.length === 0) return [[]];
  return places.flatMap((first) => ordersOf(places.filter((place) => place !== first)).map((rest) => [first, ...rest]));
}

/** An answer without the names in it. */
function wordOf(answer: Answer): string {
  if (typeof answer === 'string') return answer.replace(/^(inserted|existed) .*/, '$1');
  const words = answer.map((text) => /(keep|drop|already finished)$/.exec(text)?.[1] ?? 'tasks');
  return words[0] ?? 'nothing';
}

function note({ seen }: Run, what: string): void {
  seen.set(what, (seen.get(what) ?? 0) + 1);
}
