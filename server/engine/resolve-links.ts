import { type Dependency, dependencyField, dependencyOutcome } from '../domain/dependency.ts';
import { DstcError, fieldInvalid } from '../domain/errors.ts';
import type { LockedDependency } from '../store/insert-dependencies.ts';
import type { KeyedTask, NewTask } from '../store/insert-tasks.ts';
import { type PlacedTask, queueFull } from './queue-limits.ts';
import { idempotencyConflict, isSameRequest } from './submit.ts';

/** What the submitter may do with the tasks of a type. */
export interface SubmitterRights {
  readonly mayRead: (namespace: string, type: string) => boolean;
  readonly mayReadPayload: (namespace: string, type: string) => boolean;
}

/** A request whose type has taken it, or the reason why there will be no task. */
export interface LinkedRequest {
  readonly task: PlacedTask | DstcError;
  readonly dependencies: readonly Dependency[];
}

/** The requests of one call. */
export interface LinkedCall {
  readonly requests: readonly LinkedRequest[];
  /** All positions, each after those that it refers to. */
  readonly order: readonly number[];
  readonly rights: SubmitterRights;
}

/** A request among those that it may refer to. */
export interface Node {
  readonly request: LinkedRequest;
  readonly rights: SubmitterRights;
  /** The requests of its call, by their positions. */
  readonly siblings: readonly Node[];
}

/** What is to become of a request. */
export type Fate =
  | { readonly kind: 'refused'; readonly error: DstcError }
  /** Its idempotency key had made this task. */
  | { readonly kind: 'existed'; readonly id: string }
  /** An earlier request with its idempotency key is about to make its task. */
  | { readonly kind: 'repeated'; readonly first: Node }
  | { readonly kind: 'new'; readonly task: PlacedTask; readonly links: readonly Link[] };

/** A dependency that has been found. */
export interface Link {
  readonly dependency: Dependency;
  readonly on: Target;
  readonly outcome: ReturnType<typeof dependencyOutcome>;
  readonly sharesOutput: boolean;
}

export type Target =
  | { readonly kind: 'there'; readonly task: LockedDependency }
  /** Is about to be inserted. */
  | { readonly kind: 'new'; readonly node: Node };

/** What the database has for the requests, by `keyOf` and by `placeOf`. */
export interface Known {
  readonly keys: ReadonlyMap<string, KeyedTask>;
  readonly tasks: ReadonlyMap<string, LockedDependency>;
  /** Reservations of places that are there, and stay until the commit. */
  readonly reservations: ReadonlySet<string>;
}

/** Somebody else has taken an idempotency key, or a task was deleted, since it was looked at: look again. */
export class Overtaken extends Error {}

/** Decides for each request; each comes after those that it refers to. */
export function decideFates(nodes: readonly Node[], known: Known): Map<Node, Fate> {
  const fates = new Map<Node, Fate>();
  const firstOfKey = new Map<string, Node>();
  for (const node of nodes) fates.set(node, fateOf(node));
  return fates;

  function fateOf(node: Node): Fate {
    const { task } = node.request;
    if (task instanceof DstcError) return { kind: 'refused', error: task };
    const key = keyOf(task);
    if (key === undefined) return linked(node, task);
    const taken = known.keys.get(key);
    if (taken !== undefined) {
      if (isSameRequest(task, taken.requestHash)) return { kind: 'existed', id: taken.taskId };
      return { kind: 'refused', error: idempotencyConflict(task) };
    }
    const first = firstOfKey.get(key);
    if (first === undefined) {
      firstOfKey.set(key, node);
      return linked(node, task);
    }
    const earlier = first.request.task;
    const isSame = !(earlier instanceof DstcError) && isSameRequest(task, earlier.requestHash ?? new Uint8Array());
    if (!isSame) return { kind: 'refused', error: idempotencyConflict(task) };
    const fate = fates.get(first);
    return fate?.kind === 'refused' ? fate : { kind: 'repeated', first };
  }

  function linked(node: Node, task: PlacedTask): Fate {
    if (task.place !== undefined && !known.reservations.has(task.place.reservationId)) {
      return { kind: 'refused', error: queueFull(task.type, task.place.queueMax) };
    }
    const links: Link[] = [];
    const positions = new Map<LockedDependency | Node, number>();
    for (const [position, dependency] of node.request.dependencies.entries()) {
      const field = dependencyField(dependency, position);
      const on = 'taskId' in dependency ? taskThere(node, task, dependency.taskId) : request(node, dependency);
      if (on === undefined) {
        return refused(field, `there is no task ${'taskId' in dependency ? dependency.taskId : ''} that you may see`);
      }
      if (on instanceof DstcError) return { kind: 'refused', error: inVain(field, dependency, on) };
      const identity = on.kind === 'there' ? on.task : on.node;
      const same = positions.get(identity);
      if (same !== undefined) return refused(field, `is the same task as dependencies[${same}]`);
      positions.set(identity, position);
      links.push(linkTo(node, dependency, on));
    }
    return { kind: 'new', task, links };
  }

  function taskThere(node: Node, { namespace }: NewTask, id: string): Target | undefined {
    const task = known.tasks.get(placeOf({ namespace, id }));
    if (task === undefined || !node.rights.mayRead(namespace, task.type)) return undefined;
    return { kind: 'there', task };
  }

  /** What another request of the call became. Who submits it need not be able to read it. */
  function request(node: Node, { requestIndex }: { readonly requestIndex: number }): Target | DstcError {
    const sibling = node.siblings[requestIndex];
    const fate = sibling === undefined ? undefined : fates.get(sibling);
    if (sibling === undefined || fate === undefined) throw new Error('a request comes before one that it refers to');
    switch (fate.kind) {
      case 'refused':
        return fate.error;
      case 'repeated':
        return { kind: 'new', node: fate.first };
      case 'new':
        return { kind: 'new', node: sibling };
      case 'existed': {
        const { task } = sibling.request;
        const there = task instanceof DstcError ? undefined : known.tasks.get(placeOf({ ...task, id: fate.id }));
        if (there === undefined) throw new Overtaken();
        return { kind: 'there', task: there };
      }
    }
  }
}

function linkTo({ rights }: Node, dependency: Dependency, on: Target): Link {
  const { namespace, type } = on.kind === 'there' ? on.task : taskOf(on.node);
  const outcome = on.kind === 'there' ? dependencyOutcome(on.task.state, dependency.policy) : 'waiting';
  return { dependency, on, outcome, sharesOutput: rights.mayReadPayload(namespace, type) };
}

function taskOf({ request }: Node): NewTask {
  if (request.task instanceof DstcError) throw request.task;
  return request.task;
}

function refused(field: string, description: string): Fate {
  return { kind: 'refused', error: fieldInvalid(field, description) };
}

/** Why a request is refused because of one that it depends on. What may pass passes for both. */
function inVain(field: string, dependency: Dependency, error: DstcError): DstcError {
  if (error.retryDelayMs !== undefined) return error;
  const index = 'requestIndex' in dependency ? dependency.requestIndex : '';
  return fieldInvalid(field, `request ${index} is refused, and so is what depends on it: ${error.message}`);
}

/** An idempotency key is of its namespace, which has no slash. */
export function keyOf(task: Pick<NewTask, 'namespace' | 'idempotencyKey'>): string | undefined {
  return task.idempotencyKey === null ? undefined : `${task.namespace}/${task.idempotencyKey}`;
}

export function placeOf({ namespace, id }: { readonly namespace: string; readonly id: string }): string {
  return `${namespace}/${id}`;
}
