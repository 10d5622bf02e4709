import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { allocate } from '../../server/domain/allocate.ts';
import { retentionMsDefault, retryPolicyDefault, runDeadlineMsDefault } from '../../server/domain/limits.ts';
import type { TypeLimits } from '../../server/domain/type-limits.ts';
import { type ClaimCandidate, type Claimed, createClaim } from '../../server/engine/claim.ts';
import { createQueueStarts } from '../../server/engine/queue-starts.ts';
import { createTaskTypes } from '../../server/engine/task-types.ts';
import { createWake } from '../../server/engine/wake.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { insertTasks, type NewTask } from '../../server/store/insert-tasks.ts';
import type { LeasedTask, NewLease } from '../../server/store/lease-tasks.ts';
import { deleteFullKeyBuckets } from '../../server/store/limited-types.ts';
import { succeedCurrentLeases } from '../../server/store/report-tasks.ts';
import { createTestDatabase } from '../setup/database.ts';
import { insertSession, newTask } from '../store/rows.ts';

export const noLimits: TypeLimits = {
  key: null,
  concurrencyMax: null,
  concurrencyPerKeyMax: null,
  rate: null,
  ratePerKey: null,
  queueMax: null,
};
export const byTenant: TypeLimits = { ...noLimits, key: { kind: 'label', label: 'tenant' } };

/** A node as far as claims go. */
export interface ClaimingNode {
  /** Leases up to so many tasks of a type in one claim; answers with their keys, in the order in which they were given. */
  readonly claim: (type: string, tasksMax: number) => Promise<{ readonly keys: readonly string[] } & Claimed>;
  /** Claims again for as long as the claims say that there may be more, or somebody else is at it. */
  readonly claimAll: (type: string, tasksMax: number) => Promise<readonly string[]>;
}

/** Claims on a database of their own, without sessions and streams around them. */
export interface ClaimRig {
  readonly sql: postgres.Sql;
  readonly database: Database;
  readonly apply: (type: string, limits: TypeLimits | null) => Promise<void>;
  readonly insert: (type: string, tasks: readonly Partial<NewTask>[]) => Promise<void>;
  readonly node: () => ClaimingNode;
  /** Reports success for leases. */
  readonly finish: (leased: readonly LeasedTask[]) => Promise<void>;
  /** Tasks that run now, by key. */
  readonly running: (type: string) => Promise<ReadonlyMap<string, number>>;
  /** Deletes buckets that are of no more use. */
  readonly sweep: () => Promise<number>;
  readonly stop: () => Promise<void>;
}

export async function startClaimRig({ connections = 8 } = {}): Promise<ClaimRig> {
  const testDatabase = await createTestDatabase();
  const database = openDatabase({ url: testDatabase.url, connections, applicationName: 'claims' });
  const sql = postgres(testDatabase.url, { max: 2, onnotice: () => undefined });
  const types = createTaskTypes({ database, wake: createWake() });
  const sessionId = await insertSession(sql);

  return {
    sql,
    database,
    async apply(name, limits) {
      await types.apply({ ...plainType, name, limits }, { actor: 'test', expectedEtag: undefined });
    },
    async insert(type, tasks) {
      await database.run((statement) =>
        insertTasks(
          statement,
          tasks.map((task) => ({ ...newTask, type, ...task })),
        ),
      );
    },
    async finish(leased) {
      const report = { sessionId, actor: 'test', output: Buffer.of(), outputContentType: '', acceptedAgoMs: 0 };
      const reports = leased.map(({ fence }) => ({ ...report, fence }));
      await database.run((statement) => succeedCurrentLeases(statement, reports));
    },
    async running(type) {
      const rows = await sql<{ key: string; count: number }[]>`
        SELECT limit_key AS key, count(*)::int AS count FROM task WHERE type = ${type} AND state = 'RUNNING' GROUP BY 1`;
      return new Map(rows.map(({ key, count }) => [key, count]));
    },
    node() {
      const claimTasks = createClaim({ database, starts: createQueueStarts(() => false) });
      const keys = new Map<string, string>();

      async function claim(type: string, tasksMax: number) {
        const order: string[] = [];
        const place = (candidates: readonly ClaimCandidate[]): NewLease[] => {
          const offers = [{ taker: sessionId, total: tasksMax, byQueue: new Map([[`default/${type}`, tasksMax]]) }];
          return allocate(candidates, offers).map(({ taskId }) => {
            const found = candidates.find(({ id }) => id === taskId);
            order.push(taskId);
            return { taskId, leaseId: randomUUID(), sessionId, actor: 'test', counted: found?.counted === true };
          });
        };
        const claimed = await claimTasks([{ namespace: 'default', type, tasksMax }], place);
        const ids = claimed.leased.map(({ fence }) => fence.taskId);
        const rows = await sql<{ id: string; key: string }[]>`
          SELECT id, limit_key AS key FROM task WHERE id = ANY(${ids}::uuid[])`;
        for (const { id, key } of rows) keys.set(id, key);
        return { ...claimed, keys: order.map((id) => keys.get(id) ?? '?') };
      }

      return {
        claim,
        async claimAll(type, tasksMax) {
          const all: string[] = [];
          for (;;) {
            const { keys: found, nextLooks } = await claim(type, tasksMax - all.length);
            all.push(...found);
            if (all.length >= tasksMax || !nextLooks.some(({ inMs }) => inMs < 10)) return all;
          }
        },
      };
    },
    sweep: () => database.run((statement) => deleteFullKeyBuckets(statement, 100)),
    async stop() {
      await sql.end();
      await database.close();
      await testDatabase.drop();
    },
  };
}

const plainType = {
  namespace: 'default',
  description: '',
  inputSchema: null,
  outputSchema: null,
  retryPolicy: retryPolicyDefault,
  startMs: null,
  deliveryMs: null,
  heartbeatMs: null,
  runMs: runDeadlineMsDefault,
  totalMs: null,
  priority: 4,
  retentionMs: retentionMsDefault,
  circuitBreaker: null,
};
