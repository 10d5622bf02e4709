import { create } from '@bufbuild/protobuf';
import { TaskTypeSchema } from '@dstc/contract/dstc/v1/task_type_pb';
import { pino } from 'pino';
import postgres from 'postgres';
import { DstcError } from '../../server/domain/errors.ts';
import { taskTypeOf } from '../../server/doors/convert/task-type.ts';
import { assembleEngine, type Engine } from '../../server/engine/engine.ts';
import type { Submission, Submitted } from '../../server/engine/submit.ts';
import { openDatabase } from '../../server/store/database.ts';
import { createTestDatabase } from '../setup/database.ts';
import { type HoldableDatabase, holdable } from '../setup/holdable-database.ts';
import { insertSession } from '../store/rows.ts';

/** What became of one submission. */
export type Answer = 'inserted' | 'existed' | 'refused';

/** A coordinator as far as submissions go; nothing happens because time passes. */
export interface QueueNode {
  readonly engine: Omit<Engine, 'stop' | 'look'>;
  readonly database: HoldableDatabase;
  readonly submit: (type: string, request?: Partial<Submission>) => Promise<Answer>;
  /** So many submissions at the same moment. */
  readonly flood: (type: string, count: number, keyOf?: (at: number) => string) => Promise<Answer[]>;
  /** So many requests of one call that depend on others of it. */
  readonly submitChain: (type: string, count: number) => Promise<Answer[]>;
  /** Ends it as kill -9 would: what it holds stays. */
  readonly kill: () => Promise<void>;
}

/** Nodes on a database of their own. */
export interface QueueRig {
  readonly sql: postgres.Sql;
  readonly node: () => QueueNode;
  /** Applies a type through a node. */
  readonly apply: (node: QueueNode, type: string, queueMax: number) => Promise<void>;
  readonly waiting: (type: string) => Promise<number>;
  /** Places that nodes have reserved. */
  readonly reserved: (type: string) => Promise<number>;
  /** Has the time of what is reserved be over. */
  readonly expire: (type: string) => Promise<void>;
  /** Leases what waits, as workers do; answers with how many tasks it was. */
  readonly take: (type: string, count: number) => Promise<number>;
  readonly stop: () => Promise<void>;
}

export async function startQueueRig(): Promise<QueueRig> {
  const testDatabase = await createTestDatabase();
  const sql = postgres(testDatabase.url, { max: 3, onnotice: () => undefined });
  const nodes: QueueNode[] = [];
  const sessionId = await insertSession(sql);

  function node(): QueueNode {
    const database = holdable(openDatabase({ url: testDatabase.url, connections: 6, applicationName: 'queue-rig' }));
    const log = pino({ level: 'silent' });
    const options = { leaseMs: 60_000, payloadBytesMax: 1_000, historyDays: 1, node: `node-${nodes.length}` };
    const engine = assembleEngine({ database, log }, options);
    let closed: Promise<void> | undefined;

    const submit = (type: string, request: Partial<Submission> = {}) =>
      engine.submit({ ...submission(type), ...request }).then(answerOf, answerOf);

    const made: QueueNode = {
      engine,
      database,
      submit,
      flood: (type, count, keyOf) =>
        Promise.all(
          Array.from({ length: count }, (_, at) =>
            submit(type, keyOf && { idempotency: { key: keyOf(at), inputIdentity: new Uint8Array() } }),
          ),
        ),
      async submitChain(type, count) {
        const requests = Array.from({ length: count }, (_, at) => ({
          ...submission(type),
          dependencies: at === 0 ? [] : [{ requestIndex: at - 1, policy: 'cancel' as const }],
        }));
        return (await engine.submitLinked(requests, rights)).map(answerOf);
      },
      kill: () => (closed ??= engine.dependents.stop().then(() => database.close())),
    };
    nodes.push(made);
    return made;
  }

  return {
    sql,
    node,
    async apply({ engine }, name, queueMax) {
      const type = taskTypeOf(create(TaskTypeSchema, { name, limits: { queueMax } }));
      await engine.types.apply(type, { actor: 'test', expectedEtag: undefined });
    },
    async waiting(type) {
      const [row] = await sql<{ count: number }[]>`
        SELECT count(*)::int AS count FROM task WHERE type = ${type} AND state IN ('PENDING', 'BLOCKED')`;
      return row?.count ?? Number.NaN;
    },
    async reserved(type) {
      const [row] = await sql<{ places: number }[]>`
        SELECT COALESCE(sum(places), 0)::int AS places FROM queue_reservation WHERE type = ${type}`;
      return row?.places ?? Number.NaN;
    },
    async expire(type) {
      await sql`UPDATE queue_reservation SET expire_time = now() - interval '1 second' WHERE type = ${type}`;
    },
    async take(type, count) {
      const rows = await sql`
        UPDATE task SET state = 'RUNNING', lease_id = gen_random_uuid(), session_id = ${sessionId}
        WHERE id IN (
          SELECT id FROM task WHERE type = ${type} AND state = 'PENDING' LIMIT ${count} FOR UPDATE SKIP LOCKED
        )`;
      return rows.count;
    },
    async stop() {
      await Promise.all(nodes.map(({ kill }) => kill()));
      await sql.end();
      await testDatabase.drop();
    },
  };
}

const rights = { mayRead: () => true, mayReadPayload: () => true };

function submission(type: string): Submission {
  return {
    namespace: 'default',
    type,
    input: { data: new Uint8Array(), contentType: 'text/plain' },
    idempotency: undefined,
    priority: undefined,
    delayMs: 0,
    availableTime: undefined,
    labels: {},
    retryPolicy: undefined,
    startMs: undefined,
    deliveryMs: undefined,
    heartbeatMs: undefined,
    runMs: undefined,
    totalMs: undefined,
    dependencies: [],
    creator: 'test',
  };
}

/** A refusal for want of a place is an answer; anything else is not. */
function answerOf(outcome: unknown): Answer {
  if (outcome instanceof DstcError && outcome.reason === 'QUEUE_FULL') return 'refused';
  if (outcome instanceof Error) throw outcome;
  return (outcome as Submitted).kind;
}
