import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import postgres from 'postgres';
import { DstcError } from '../../server/domain/errors.ts';
import { type Fence, parseLeaseId, parseSessionId, parseTaskId, type SessionId } from '../../server/domain/ids.ts';
import { retryPolicyDefault, runDeadlineMsDefault } from '../../server/domain/limits.ts';
import { assembleEngine } from '../../server/engine/engine.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import type { LeasedTask } from '../../server/store/lease-tasks.ts';
import { createTestDatabase } from '../setup/database.ts';
import { type HoldableDatabase, holdable } from '../setup/holdable-database.ts';
import type { LeaseRef } from './action.ts';
import { tellCircuits } from './tell-circuits.ts';
import { finalCode, modelTypes } from './types.ts';
import type { Names } from './view.ts';

/** The real thing: two nodes on one Postgres, and nothing happens in them unless it is called. */
export interface System {
  readonly nodes: readonly Node[];
  /** A node on which nothing happens, which still looks after the others. */
  readonly onlooker: Node;
  readonly sql: postgres.Sql;
  readonly names: Names;
  readonly tasks: Register;
  readonly sessions: Register;
  readonly secrets: Map<string, string>;
  /** Every lease that was given, in order, by the task's name. */
  readonly fences: Map<string, Given[]>;
  /** Forgets everything, for the next run. */
  readonly clear: () => Promise<void>;
  readonly close: () => Promise<void>;
}

export interface Node {
  readonly engine: ReturnType<typeof assembleEngine>;
  readonly database: HoldableDatabase;
  /** Until it has no transaction under way, also of those that it has begun by itself. */
  readonly idle: () => Promise<void>;
}

interface Given {
  readonly fence: Fence;
  readonly session: string;
  readonly type: string;
}

/** Names and the ids behind them. */
interface Register {
  readonly add: (name: string, id: string) => void;
  readonly id: (name: string) => string;
  readonly name: (id: string) => string;
  readonly clear: () => void;
}

export const namespace = 'default';
export const payloadBytesMax = 100;
const noLimits = {
  key: null,
  concurrencyMax: null,
  concurrencyPerKeyMax: null,
  rate: null,
  ratePerKey: null,
  queueMax: null,
};
const aDayMs = 24 * 3_600_000;
/** Circuits open and forget when the test says so. */
export const windowMs = aDayMs;
export const openMs = aDayMs;

export async function startSystem(): Promise<System> {
  const testDatabase = await createTestDatabase();
  const nodes = ['one', 'other'].map((name) => startNode(testDatabase.url, name));
  const onlooker = startNode(testDatabase.url, 'onlooker');
  for (const [name, type] of Object.entries(modelTypes)) {
    if (type === undefined) continue;
    const { attemptsMax, hasStart, hasHeartbeat, hasTotal, runningMax, breaker } = type;
    await nodes[0]?.engine.types.apply(
      {
        ...{ namespace, name, description: '', inputSchema: null, outputSchema: null, priority: 4, deliveryMs: null },
        retryPolicy: { ...retryPolicyDefault, attemptsMax, initialDelayMs: 0, nonRetryableCodes: [finalCode] },
        startMs: hasStart ? aDayMs : null,
        heartbeatMs: hasHeartbeat ? aDayMs : null,
        runMs: runDeadlineMsDefault,
        totalMs: hasTotal ? aDayMs : null,
        retentionMs: 3_600_000,
        circuitBreaker: { ...breaker, windowMs, openMs },
        limits: Number.isFinite(runningMax) ? { ...noLimits, concurrencyMax: runningMax } : null,
      },
      { actor: 'model', expectedEtag: undefined },
    );
    // A node knows the types of the workers that it has.
    for (const { engine } of nodes) await engine.types.get(namespace, name);
  }
  const sql = postgres(testDatabase.url, { max: 4, onnotice: () => undefined });
  const [tasks, sessions] = [register(), register()];
  const [secrets, fences] = [new Map<string, string>(), new Map<string, Given[]>()];
  const system: System = {
    ...{ nodes, onlooker, sql, tasks, sessions, secrets, fences },
    names: { task: tasks.name, session: sessions.name },
    async clear() {
      // What nodes have counted is of the last run.
      await tellCircuits(system);
      for (const part of [tasks, sessions, secrets, fences]) part.clear();
      const tables = [
        'task',
        'task_dependency',
        'task_event',
        'system_event',
        'worker_session',
        'idempotency_key',
        'task_gate',
      ];
      for (const table of tables) await sql`DELETE FROM ${sql(table)}`;
    },
    async close() {
      await Promise.all([...nodes, onlooker].map(({ database }) => database.close()));
      await sql.end();
      await testDatabase.drop();
    },
  };
  return system;
}

function startNode(url: string, node: string): Node {
  const { database: real, idle } = watched(openDatabase({ url, connections: 4, applicationName: node }));
  const database = holdable(real);
  // Sessions and leases end when the test says so.
  const options = { node, leaseMs: aDayMs, payloadBytesMax, historyDays: 1 };
  return { database, idle, engine: assembleEngine({ database, log: pino({ level: 'silent' }) }, options) };
}

function watched(real: Database): { readonly database: Database; readonly idle: Node['idle'] } {
  const underWay = new Set<Promise<unknown>>();
  return {
    database: {
      ...real,
      transaction(call) {
        const going = real.transaction(call);
        underWay.add(going);
        const end = () => underWay.delete(going);
        going.then(end, end);
        return going;
      },
    },
    async idle() {
      while (underWay.size > 0) await Promise.allSettled(underWay);
    },
  };
}

function register(): Register {
  const ids = new Map<string, string>();
  const names = new Map<string, string>();
  return {
    add(name, id) {
      ids.set(name, id);
      names.set(id, name);
    },
    // What was never made, or was never named, still needs something to be called.
    id: (name) => ids.get(name) ?? randomUUID(),
    name: (id) => names.get(id) ?? `nobody's ${id}`,
    clear() {
      ids.clear();
      names.clear();
    },
  };
}

/** Who reports on what, with what the disguise changes. */
export function reportOf(
  system: System,
  { task, lease, disguise }: LeaseRef,
): { from: ReturnType<typeof workerAt>; fence: Fence; type: string | undefined } {
  const given = system.fences.get(task)?.[lease];
  const stranger = { taskId: parseTaskId(system.tasks.id(task)), attempt: 1, leaseId: parseLeaseId(randomUUID()) };
  const fence = given?.fence ?? stranger;
  const session =
    disguise === 'other session' || given === undefined ? randomUUID() : system.sessions.id(given.session);
  return {
    from: workerAt(parseSessionId(session)),
    type: given?.type,
    fence: {
      ...fence,
      ...(disguise === 'other attempt' ? { attempt: fence.attempt + 1 } : {}),
      ...(disguise === 'other lease' ? { leaseId: stranger.leaseId } : {}),
    },
  };
}

export function workerAt(sessionId: SessionId) {
  return { sessionId, namespace, actor: 'worker', may: () => true };
}

/** A session with room for some tasks of every type; `assigned` fills with what it is given. */
export function attach({ engine }: Node, sessionId: SessionId, room: number) {
  const assigned: LeasedTask[] = [];
  const session = engine.sessions.attach(sessionId, workerInfo(room), {
    assign: (tasks) => void assigned.push(...tasks),
    cancel: () => undefined,
    stop: () => undefined,
    lost: () => undefined,
    isCongested: () => false,
  });
  return { session, assigned };
}

export function workerInfo(slots: number) {
  const slotsByType = new Map(
    Object.keys(modelTypes)
      .toSorted()
      .map((type) => [type, slots]),
  );
  const about = { labels: {}, sdkName: '', sdkVersion: '', buildVersion: '' };
  return { namespace, actor: 'worker', may: () => true, slots, slotsByType, ...about };
}

/** The reason of an error that callers are told; any other one is a bug. */
export function reasonOf(error: unknown): string {
  if (error instanceof DstcError) return error.reason;
  throw error;
}
