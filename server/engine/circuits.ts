import type { Logger } from 'pino';
import { afterEnds, afterProbes, verdictOf } from '../domain/circuit.ts';
import { DstcError } from '../domain/errors.ts';
import { retryPolicyDefault } from '../domain/limits.ts';
import {
  type CircuitChange,
  lockCircuitsOfEnds,
  lockHalfOpenCircuits,
  type ProbeEnd,
  selectProbeEnds,
  storeCircuits,
  type TypeEnds,
} from '../store/circuits.ts';
import type { Database, Sql } from '../store/database.ts';
import { insertSystemEvents, type NewSystemEvent } from '../store/insert-system-events.ts';
import type { ShutGates } from '../store/tick.ts';
import type { Applied } from './apply-moves.ts';
import type { TaskTypes } from './task-types.ts';
import type { AttemptHint, Wake } from './wake.ts';

/**
 * The circuit breakers of all types, as far as this node sees their attempts end. Ends are counted here and added to the
 * circuits once a second, so that a node that is killed loses what it has counted in that second. A fatal end opens a
 * circuit in the transaction that records it. Probes stand in the database, and any node looks after them.
 */
export interface Circuits {
  /** Opens the circuits of the types of which attempts have failed fatally; announce it after the commit. */
  readonly openByFatal: (sql: Sql, applied: readonly Applied[]) => Promise<readonly CircuitChange[]>;
  readonly announce: (changes: readonly CircuitChange[]) => void;
  /** Adds what was counted, and looks after the probes of half-open circuits. */
  readonly turn: (shut: ShutGates) => Promise<void>;
  /** What was held up at the last turn, over all nodes. */
  readonly shut: () => ShutGates;
}

export interface CircuitsDeps {
  readonly database: Database;
  readonly types: TaskTypes;
  readonly wake: Wake;
  readonly log: Logger;
}

const actor = 'system:circuit';

export function createCircuits(deps: CircuitsDeps): Circuits {
  let counted = new Map<string, TypeEnds>();
  /** Tasks that this node has leased as probes. */
  const probes = new Set<string>();
  let shut: ShutGates = { paused: 0, open: 0, halfOpen: 0 };

  deps.wake.probesLeased.listen(({ taskIds }) => {
    for (const id of taskIds) probes.add(id);
  });

  deps.wake.attemptEnded.listen((end) => {
    if (isCounted(end)) count(endsOf(end));
    if (probes.delete(end.taskId)) settleAtOnce();
  });

  /** What passes matters to a ratio alone. What fails may matter to a breaker that was set on another node just now. */
  function isCounted({ namespace, type, verdict }: AttemptHint): boolean {
    if (verdict !== 'passed') return verdict === 'failed';
    return (deps.types.known(namespace, type)?.row.circuitBreaker?.failureRatio ?? 0) > 0;
  }

  function count(ends: TypeEnds): void {
    const key = keyOf(ends);
    const before = counted.get(key);
    counted.set(key, before === undefined ? ends : sumOf(before, ends));
  }

  function settleAtOnce(): void {
    settle().catch((error: unknown) => {
      // The next turn does it.
      const isAway = error instanceof DstcError;
      deps.log[isAway ? 'warn' : 'error']({ err: error }, 'probes were not looked after');
    });
  }

  async function settle(): Promise<void> {
    announceChanges(deps, await deps.database.transaction(settleProbes));
  }

  async function addCounted(): Promise<void> {
    if (counted.size === 0) return;
    const ends = counted;
    counted = new Map();
    try {
      announceChanges(deps, await deps.database.transaction((sql) => addEnds(sql, ends)));
    } catch (error) {
      for (const ofType of ends.values()) count(ofType);
      throw error;
    }
  }

  return {
    async openByFatal(sql, applied) {
      const ends = new Map<string, TypeEnds>();
      for (const { task, verdict, errorCode = '' } of applied) {
        if (verdict !== 'fatal') continue;
        const { namespace, type } = task;
        ends.set(keyOf(task), { namespace, type, passed: 0, failed: 0, fatalCode: errorCode });
      }
      return ends.size === 0 ? [] : addEnds(sql, ends);
    },

    announce: (changes) => announceChanges(deps, changes),

    async turn(now) {
      shut = now;
      await addCounted();
      if (shut.halfOpen > 0) await settle();
      // Those of workers that went to another node in between.
      else probes.clear();
    },
    shut: () => shut,
  };
}

/** Locks circuits, decides and stores: no two nodes decide on one. */
async function addEnds(sql: Sql, ends: ReadonlyMap<string, TypeEnds>): Promise<CircuitChange[]> {
  const circuits = await lockCircuitsOfEnds(sql, [...ends.values()]);
  const changes = circuits.flatMap((circuit) => {
    const ofType = ends.get(keyOf(circuit));
    const next = ofType && afterEnds(circuit, circuit.breaker, ofType, circuit.nowMs);
    return next === undefined ? [] : [{ ...circuit, ...next }];
  });
  await recordChanges(sql, changes);
  return changes;
}

async function settleProbes(sql: Sql): Promise<CircuitChange[]> {
  const circuits = await lockHalfOpenCircuits(sql);
  const probes = circuits.flatMap((circuit) => circuit.probes);
  // Only now: no claim that adds a probe is under way any more.
  const ends = probes.length === 0 ? [] : await selectProbeEnds(sql, probes);
  const endOf = new Map(ends.map((end) => [end.leaseId, end]));
  const changes = circuits.flatMap((circuit) => {
    const ended = circuit.probes.flatMap((probe) => {
      const end = endOf.get(probe.leaseId);
      return end === undefined ? [] : [{ probe, verdict: verdictOfProbe(end) }];
    });
    return ended.length === 0 ? [] : [{ ...circuit, ...afterProbes(circuit, circuit.breaker, ended) }];
  });
  await recordChanges(sql, changes);
  return changes;
}

async function recordChanges(sql: Sql, changes: readonly CircuitChange[]): Promise<void> {
  await storeCircuits(sql, actor, changes);
  await insertSystemEvents(sql, changes.flatMap(circuitEvents));
}

/** None when only what is counted has changed. That probes are leased, the claim tells. */
function circuitEvents({ namespace, type, state, reason }: CircuitChange): NewSystemEvent[] {
  if (reason === null) return [];
  const kind = state === 'OPEN' ? 'circuit.opened' : 'circuit.closed';
  return [{ kind, namespace, subject: type, actor, data: { reason, isForced: false } }];
}

function announceChanges(deps: CircuitsDeps, changes: readonly CircuitChange[]): void {
  for (const { namespace, type, state, reason, openMs } of changes) {
    if (reason !== null) {
      deps.wake.eventsWritten.give(undefined);
      const facts = { namespace, type, circuit: state, actor, reason, ...(openMs !== null && { openMs }) };
      deps.log[state === 'OPEN' ? 'warn' : 'info'](facts, 'a circuit has changed');
    }
    if (state === 'HALF_OPEN' || (state === 'CLOSED' && reason !== null))
      deps.wake.gateOpened.give({ namespace, type });
  }
}

function verdictOfProbe({ event, error, retryPolicy }: ProbeEnd) {
  if (event === null) return undefined;
  const { nonRetryableCodes } = retryPolicy ?? retryPolicyDefault;
  return verdictOf({ event, error, nonRetryableCodes });
}

function endsOf({ namespace, type, verdict }: AttemptHint): TypeEnds {
  const [passed, failed] = verdict === 'passed' ? [1, 0] : [0, 1];
  return { namespace, type, passed, failed, fatalCode: null };
}

function sumOf(one: TypeEnds, other: TypeEnds): TypeEnds {
  return { ...one, passed: one.passed + other.passed, failed: one.failed + other.failed };
}

/** Neither part can contain a slash. */
function keyOf({ namespace, type }: { readonly namespace: string; readonly type: string }): string {
  return `${namespace}/${type}`;
}
