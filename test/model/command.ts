import { isDeepStrictEqual } from 'node:util';
import type fc from 'fast-check';
import { expect } from 'vitest';
import { checkHistory } from '../setup/check-history.ts';
import { type Action, type Answer, comesAgain } from './action.ts';
import * as circuits from './circuits.ts';
import { tellAll, whileTelling } from './dependencies.ts';
import { actionOf, type Draw } from './draw.ts';
import { type Model, step } from './model.ts';
import { perform, tellDependents } from './perform.ts';
import type { Node, System } from './system.ts';
import { tellCircuits } from './tell-circuits.ts';
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
      const before = statesOf(run.model);
      const answer = (await perform(system, nodeFor(system, draw), action))();
      run.model.node = nodeIndex(system, draw);
      expect(answer, about).toEqual(step(run.model, action));
      note(run, `${action.kind === 'order' ? action.command : action.kind}: ${wordOf(answer)}`);
      await tell(system);
      for (const told of tellModel(run.model, system)) note(run, told);
      noteCircuits(run, before);
      await expectModel(run, system, about);
    },
    toString: () => about,
  };
}

/** One after the other, as far as they can be done. */
export function story(draws: readonly Draw[]): Command {
  const commands = draws.map(one);
  return {
    check: () => true,
    async run(run, system) {
      for (const command of commands) if (await command.check(run)) await command.run(run, system);
    },
    toString: () => commands.join(', '),
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
      const before = statesOf(run.model);
      await tell(system);
      const sweeps = actions.filter(({ kind }) => comesAgain.includes(kind));
      for (const action of sweeps) await perform(system, nodeFor(system), action);
      await tell(system);
      const seen = withoutOrder(await viewOfDatabase(system.sql, system.names));
      const outcomes = ordersOf(actions.map((_, place) => place)).flatMap((order) => {
        const ways = order.reduce<Way[]>(
          (until, place) =>
            until.flatMap((way) =>
              further(way, { place, node: nodeIndex(system, draws[place]) }, actions[place], answers[place]),
            ),
          [{ model: run.model, answers: [] }],
        );
        return ways.map(({ model, answers: expected }) => {
          tellModel(model, system);
          model.node = nodeIndex(system);
          for (const action of sweeps) step(model, action);
          tellModel(model, system);
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
      noteCircuits(run, before);
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

/**
 * What follows when the next action comes; what ended before it may have been told to none, some or all of its
 * dependents, and probes that ended may have been looked after or not.
 */
function further(
  { model, answers }: Way,
  { place, node }: { readonly place: number; readonly node: number },
  action: Action | undefined,
  answer: Answer | undefined,
): Way[] {
  if (action === undefined) return [];
  return whileTelling(model)
    .flatMap(whileSettling)
    .map((told) => {
      const next = { ...structuredClone(told), node };
      const expected = [...answers];
      expected[place] = step(next, action, tasksIn(answer));
      return { model: next, answers: expected };
    });
}

/** The model as it is, and after a look after its probes. */
function whileSettling(model: Model): Model[] {
  const next = structuredClone(model);
  return circuits.settleProbes(next) ? [model, next] : [model];
}

/** Everybody hears of what has ended; the system and the model in the same order. */
async function tell(system: System): Promise<void> {
  await tellDependents(system);
  await tellCircuits(system);
}

function tellModel(model: Model, { nodes }: System): string[] {
  return [...tellAll(model), ...circuits.tellCircuits(model, nodes.length)];
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

function nodeIndex({ nodes }: System, draw?: Draw): number {
  return (draw?.how ?? 0) % nodes.length;
}

function nodeFor(system: System, draw?: Draw): Node {
  const node = system.nodes[nodeIndex(system, draw)];
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

function statesOf({ circuits }: Model): Map<string, string> {
  return new Map([...circuits].map(([type, { state }]) => [type, state]));
}

function noteCircuits(run: Run, before: ReadonlyMap<string, string>): void {
  for (const [type, state] of statesOf(run.model)) {
    if (state !== before.get(type)) note(run, `circuit: ${before.get(type)} to ${state}`);
  }
}

function note({ seen }: Run, what: string): void {
  seen.set(what, (seen.get(what) ?? 0) + 1);
}
