import { create } from '@bufbuild/protobuf';
import { TaskTypeSchema } from '@dstc/contract/dstc/v1/task_type_pb';
import { pino } from 'pino';
import postgres from 'postgres';
import type { Dependency, DependencyPolicy } from '../../server/domain/dependency.ts';
import { DstcError } from '../../server/domain/errors.ts';
import { taskTypeOf } from '../../server/doors/convert/task-type.ts';
import { applyMoves } from '../../server/engine/apply-moves.ts';
import { assembleEngine } from '../../server/engine/engine.ts';
import type { Submission } from '../../server/engine/submit.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { lockTasks } from '../../server/store/lock-tasks.ts';
import { createTestDatabase } from '../setup/database.ts';
import { statementsWait } from '../setup/statements-wait.ts';

type Engine = ReturnType<typeof assembleEngine>;

/** Engines that share a database and in which nothing happens because time passes. */
export interface DependencyRig {
  readonly engines: readonly [Engine, Engine];
  readonly database: Database;
  readonly sql: postgres.Sql;
  /** Submits one task through the first engine. */
  readonly submit: (dependencies?: readonly Dependency[], engine?: Engine) => Promise<string>;
  /** Submits requests of one call, and answers with their ids. */
  readonly submitAll: (requests: readonly (readonly Dependency[])[]) => Promise<string[]>;
  readonly order: (command: 'skip' | 'cancel', id: string, engine?: Engine) => Promise<void>;
  /** Ends a task as a node does that is killed right after the commit. */
  readonly endUnheard: (command: 'skip' | 'cancel', ids: readonly string[]) => Promise<void>;
  readonly states: (ids: readonly string[]) => Promise<string[]>;
  readonly kinds: (id: string) => Promise<string[]>;
  /** Until so many statements of the engines wait for a lock. */
  readonly waitsForLocks: (count: number) => Promise<void>;
  readonly stop: () => Promise<void>;
}

const namespace = 'default';
const applicationName = 'dependency-rig';
const actor = 'operator';
export const rights = { mayRead: () => true, mayReadPayload: () => true };

export async function startDependencyRig(): Promise<DependencyRig> {
  const testDatabase = await createTestDatabase();
  const databases = [1, 2].map(() => openDatabase({ url: testDatabase.url, connections: 6, applicationName }));
  const sql = postgres(testDatabase.url, { max: 4, onnotice: () => undefined });
  const log = pino({ level: 'silent' });
  const options = { leaseMs: 60_000, payloadBytesMax: 1_000, historyDays: 1 };
  const [one, two] = databases.map((database, index) =>
    assembleEngine({ database, log }, { ...options, node: `node-${index}` }),
  );
  const [database] = databases;
  if (one === undefined || two === undefined || database === undefined) throw new Error('two engines were not made');
  await one.types.apply(taskTypeOf(create(TaskTypeSchema, { name: 'work' })), {
    actor: 'test',
    expectedEtag: undefined,
  });

  const first = one;

  async function submitAll(requests: readonly (readonly Dependency[])[], engine = first): Promise<string[]> {
    const submissions = requests.map((dependencies) => submission(dependencies));
    const results = await engine.submitLinked(submissions, rights);
    return results.map((result) => {
      if (result instanceof DstcError) throw result;
      return result.kind === 'inserted' ? result.inserted.id : result.id;
    });
  }

  return {
    engines: [one, two],
    database,
    sql,
    submitAll,
    async submit(dependencies = [], engine = first) {
      const [id] = await submitAll([dependencies], engine);
      if (id === undefined) throw new Error('a submission was answered with nothing');
      return id;
    },
    order: (command, id, engine = first) => engine.control({ namespace, id, type: 'work', command, actor, reason: '' }),
    async endUnheard(command, ids) {
      await database.transaction(async (statement) => {
        const tasks = await lockTasks(statement, namespace, ids);
        await applyMoves(
          statement,
          tasks.map((task) => ({ task, command, actor })),
        );
      });
    },
    async states(ids) {
      const rows = await sql<{ id: string; state: string }[]>`SELECT id, state FROM task WHERE id = ANY(${ids})`;
      const byId = new Map(rows.map((row) => [row.id, row.state]));
      return ids.map((id) => byId.get(id) ?? 'gone');
    },
    async kinds(id) {
      const rows = await sql<{ kind: string }[]>`SELECT kind FROM task_event WHERE task_id = ${id} ORDER BY sequence`;
      return rows.map(({ kind }) => kind);
    },
    waitsForLocks: (count) => statementsWait(sql, count),
    async stop() {
      await Promise.all([one.dependents.stop(), two.dependents.stop()]);
      await sql.end();
      await Promise.all(databases.map((each) => each.close()));
      await testDatabase.drop();
    },
  };
}

/** Dependencies on tasks that are there. */
export function onTasks(ids: readonly string[], policy: DependencyPolicy = 'cancel'): Dependency[] {
  return ids.map((taskId) => ({ taskId, policy }));
}

export function submission(dependencies: readonly Dependency[], key?: string): Submission {
  const input = { data: new Uint8Array(), contentType: 'text/plain' };
  return {
    ...{ namespace, type: 'work', input, priority: undefined, labels: {}, creator: 'producer', dependencies },
    idempotency: key === undefined ? undefined : { key, inputIdentity: input.data },
    ...{ delayMs: 0, availableTime: undefined, retryPolicy: undefined, startMs: undefined, deliveryMs: undefined },
    ...{ heartbeatMs: undefined, runMs: undefined, totalMs: undefined },
  };
}
