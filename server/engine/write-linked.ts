import type { DstcError } from '../domain/errors.ts';
import type { Sql } from '../store/database.ts';
import {
  insertDependencies,
  type LockedDependency,
  lockDependencies,
  markDependencies,
  type NewDependency,
} from '../store/insert-dependencies.ts';
import {
  type InsertedTask,
  insertTasks,
  type KeyedTask,
  type NewTask,
  selectIdempotencyKeys,
} from '../store/insert-tasks.ts';
import { lockTasksOfAnyNamespace } from '../store/lock-tasks.ts';
import { holdReservations } from '../store/queue-reservations.ts';
import { type Applied, announceMoves, applyMoves } from './apply-moves.ts';
import { failDependency } from './dependents.ts';
import type { PlacedTask, QueueLimits } from './queue-limits.ts';
import {
  decideFates,
  type Fate,
  keyOf,
  type Link,
  type LinkedCall,
  type Node,
  Overtaken,
  placeOf,
} from './resolve-links.ts';
import { announceInserted, type SubmitDeps, type Submitted } from './submit.ts';

const overtakenRetriesMax = 5;

/** Writes calls in one transaction; answers for each of their requests. */
export async function writeLinkedCalls(
  deps: SubmitDeps,
  calls: readonly LinkedCall[],
): Promise<(Submitted | DstcError)[][]> {
  const placed = calls.map((call) => ({ call, nodes: nodesOf(call) }));
  const inOrder = placed.flatMap(({ call, nodes }) => call.order.flatMap((position) => nodes[position] ?? []));
  for (let tries = 1; ; tries += 1) {
    try {
      const written = await deps.database.transaction((sql) => write(sql, deps.queueLimits, inOrder));
      announceInserted(deps.wake, written.tasks, written.inserted);
      announceMoves(deps.wake, written.cancelled);
      const resultOf = resultsOf(written);
      return placed.map(({ nodes }) => nodes.map(resultOf));
    } catch (error) {
      if (!(error instanceof Overtaken) || tries > overtakenRetriesMax) throw error;
    }
  }
}

function nodesOf({ requests, rights }: LinkedCall): Node[] {
  const siblings: Node[] = [];
  for (const request of requests) siblings.push({ request, rights, siblings });
  return siblings;
}

interface Written {
  readonly fates: ReadonlyMap<Node, Fate>;
  readonly tasks: readonly NewTask[];
  readonly inserted: readonly InsertedTask[];
  /** Where a node's task stands in both lists. */
  readonly places: ReadonlyMap<Node, number>;
  readonly cancelled: readonly Applied[];
}

/**
 * Each node comes after those that it refers to: ids follow dependencies, and the order in which tasks are locked is the
 * order of ids. What new tasks depend on stays locked until they are there, so that no end of it goes unheard.
 */
async function write(sql: Sql, queueLimits: QueueLimits, nodes: readonly Node[]): Promise<Written> {
  const reservations = await holdPlaces(sql, nodes);
  const keys = await selectKeys(sql, nodes);
  const fates = decideFates(nodes, { keys, tasks: await lockTargets(sql, nodes, keys), reservations });
  const fresh = nodes.flatMap((node) => {
    const fate = fates.get(node);
    return fate?.kind === 'new' ? [{ node, ...fate }] : [];
  });
  const places = new Map(fresh.map(({ node }, place) => [node, place]));
  const tasks = fresh.map(({ task, links }) => withDependencies(task, links));
  if (tasks.length === 0) return { fates, tasks, inserted: [], places, cancelled: [] };

  const inserted = await insertTasks(sql, tasks, queueLimits.usedUpBy(tasks));
  if (inserted.length < tasks.length) throw new Overtaken();
  const ids = new Map(inserted.map(({ index, id }) => [fresh[index]?.node, id]));
  const idOf = (node: Node) => ids.get(node) ?? '';
  const rows = fresh.flatMap(({ node, links }) =>
    links.map((link, position) => newDependency(idOf(node), position, link, idOf)),
  );
  await markDependencies(sql, targetsAmong(fresh).map(idOf));
  await insertDependencies(sql, rows);
  const failures = new Map(fresh.flatMap(({ node, links }) => failureAmong(links).map((task) => [idOf(node), task])));
  return { fates, tasks, inserted, places, cancelled: await cancelFailed(sql, failures) };
}

/** Has the places of new tasks stay theirs until the commit; answers with the reservations that are still there. */
async function holdPlaces(sql: Sql, nodes: readonly Node[]): Promise<Set<string>> {
  const places = nodes.flatMap(({ request: { task } }) =>
    'input' in task && task.place !== undefined ? [task.place] : [],
  );
  const ids = new Set(places.map(({ reservationId }) => reservationId));
  const held = new Set(ids.size === 0 ? [] : await holdReservations(sql, [...ids]));
  for (const place of places) if (!held.has(place.reservationId)) place.lose();
  return held;
}

async function selectKeys(sql: Sql, nodes: readonly Node[]): Promise<Map<string, KeyedTask>> {
  const wanted = nodes.flatMap(({ request: { task } }) =>
    'input' in task && task.idempotencyKey !== null ? [{ namespace: task.namespace, key: task.idempotencyKey }] : [],
  );
  const rows = wanted.length === 0 ? [] : await selectIdempotencyKeys(sql, wanted);
  return new Map(rows.map((row) => [keyOf({ ...row, idempotencyKey: row.key }) ?? '', row]));
}

/** Locks all that exists already and that others are to depend on. */
async function lockTargets(
  sql: Sql,
  nodes: readonly Node[],
  keys: ReadonlyMap<string, KeyedTask>,
): Promise<Map<string, LockedDependency>> {
  const wanted = new Map<string, { readonly namespace: string; readonly id: string }>();
  const want = (namespace: string, id: string) => wanted.set(placeOf({ namespace, id }), { namespace, id });
  for (const { request, siblings } of nodes) {
    if (!('input' in request.task)) continue;
    for (const dependency of request.dependencies) {
      if ('taskId' in dependency) want(request.task.namespace, dependency.taskId);
      else {
        const target = siblings[dependency.requestIndex]?.request.task;
        const taken = target !== undefined && 'input' in target ? keys.get(keyOf(target) ?? '') : undefined;
        if (taken !== undefined) want(taken.namespace, taken.taskId);
      }
    }
  }
  const locked = wanted.size === 0 ? [] : await lockDependencies(sql, [...wanted.values()]);
  return new Map(locked.map((task) => [placeOf(task), task]));
}

function withDependencies(task: PlacedTask, links: readonly Link[]): PlacedTask {
  if (links.length === 0) return task;
  return { ...task, dependencies: { count: links.length, blocked: links.some(({ outcome }) => outcome !== 'met') } };
}

function newDependency(taskId: string, position: number, link: Link, idOf: (node: Node) => string): NewDependency {
  const { dependency, on, outcome, sharesOutput } = link;
  const dependsOn = on.kind === 'there' ? on.task.id : idOf(on.node);
  return { taskId, position, dependsOn, policy: dependency.policy, waits: outcome === 'waiting', sharesOutput };
}

function targetsAmong(fresh: readonly { readonly links: readonly Link[] }[]): Node[] {
  const targets = fresh.flatMap(({ links }) => links.flatMap(({ on }) => (on.kind === 'new' ? [on.node] : [])));
  return [...new Set(targets)];
}

function failureAmong(links: readonly Link[]): LockedDependency[] {
  return links.flatMap(({ on, outcome }) => (outcome === 'failed' && on.kind === 'there' ? [on.task] : []));
}

/** Those of the new tasks that depend on what has failed before end as they would have, had it failed later. */
async function cancelFailed(sql: Sql, failures: ReadonlyMap<string, LockedDependency>): Promise<Applied[]> {
  if (failures.size === 0) return [];
  const tasks = await lockTasksOfAnyNamespace(sql, [...failures.keys()]);
  const commands = tasks.flatMap((task) => {
    const failure = failures.get(task.id);
    return failure === undefined ? [] : [failDependency(task, failure)];
  });
  return applyMoves(sql, commands);
}

function resultsOf({ fates, tasks, inserted, places, cancelled }: Written): (node: Node) => Submitted | DstcError {
  const rows = new Map(inserted.map((row) => [row.index, row]));
  const cancelledIds = new Set(cancelled.map(({ task }) => task.id));
  return (node) => {
    const fate = fates.get(node);
    if (fate?.kind === 'refused') return fate.error;
    if (fate?.kind === 'existed') return { kind: 'existed', id: fate.id };
    const place = places.get(fate?.kind === 'repeated' ? fate.first : node) ?? -1;
    const row = rows.get(place);
    const task = tasks[place];
    if (row === undefined || task === undefined) throw new Error('a request was written and has no result');
    if (fate?.kind === 'repeated') return { kind: 'existed', id: row.id };
    const state = cancelledIds.has(row.id) ? 'CANCELLED' : task.dependencies?.blocked ? 'BLOCKED' : 'PENDING';
    return { kind: 'inserted', task, inserted: row, state };
  };
}
