import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import postgres from 'postgres';
import { vi } from 'vitest';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { insertTasks, type NewTask } from '../../server/store/insert-tasks.ts';
import { grpcCaller } from '../services/caller.ts';
import { startTestCoordinator, type TestCoordinator } from '../setup/coordinator.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { newTask } from '../store/rows.ts';
import { openSubscriber, type Subscriber, type SubscriberOptions } from './subscriber.ts';

/** root may do everything, alice everything with types below `a.`, reader reads those; stranger is another tenant. */
export const policyText = `
roles:
  all: [submit, work, read, read_payload, cancel, redrive, pause, configure, approve, operate, monitor]
  reader: [read]
bindings:
  - { role: all, claims: { client_id: root }, namespaces: ['*'], task_types: ['*'] }
  - { role: all, claims: { client_id: alice }, namespaces: [default], task_types: ['a.*'] }
  - { role: reader, claims: { client_id: reader }, namespaces: [default], task_types: ['a.*'] }
  - { role: all, claims: { client_id: stranger }, namespaces: [elsewhere], task_types: ['*'] }
`;

type Who = 'root' | 'alice' | 'reader' | 'stranger';

/** A coordinator, and what writes events and reads them. */
export interface EventRig {
  readonly coordinator: TestCoordinator;
  readonly sql: postgres.Sql;
  /** A node's way to the same database, for what only transactions of a node do. */
  readonly database: Database;
  readonly policyFile: string;
  readonly token: (who: Who) => Promise<string>;
  /** Tasks that are written as they stand, in one transaction of another process, as far as the nodes can tell. */
  readonly write: (count: number, task?: Partial<NewTask>) => Promise<string[]>;
  /** As root over gRPC, unless said otherwise; ends with the rig. */
  readonly subscribe: (options?: Partial<SubscriberOptions>) => Promise<Subscriber>;
  /** The committed events of these tasks, in the order of the stream, as `keyOf` has them. */
  readonly stored: (ids: readonly string[]) => Promise<string[]>;
  readonly stop: () => Promise<void>;
}

/** Throws until the node has told of its policy, and all that was told is final: nothing of it is new to whoever comes now. */
async function policyIsTold(sql: postgres.Sql): Promise<void> {
  const [row] = await sql<{ told: boolean | null }[]>`
    SELECT bool_or(kind = 'policy.changed') AND bool_and(stream_order < pg_snapshot_xmin(pg_current_snapshot())) AS told
    FROM system_event`;
  if (row?.told !== true) throw new Error('the node has not told of its policy');
}

export async function startEventRig(settings: Record<string, string> = {}): Promise<EventRig> {
  const directory = await temporaryDirectory();
  const policyFile = join(directory, 'policy.yaml');
  await writeFile(policyFile, policyText);
  const coordinator = await startTestCoordinator({ DSTC_POLICY_FILE: policyFile, ...settings });
  const sql = postgres(coordinator.databaseUrl, { max: 8, onnotice: () => undefined });
  const token = (who: Who) => coordinator.identity.forge({ sub: who, client_id: who });
  const database = openDatabase({ url: coordinator.databaseUrl, connections: 8, applicationName: 'writer' });
  const open: Subscriber[] = [];

  const caller = grpcCaller(coordinator.grpcAddress);
  for (const name of ['a.plain', 'a.other', 'b.plain']) {
    await caller.call(TaskTypeService.method.applyTaskType, { taskType: { name } }, await token('root'));
  }
  caller.close();
  await vi.waitFor(() => policyIsTold(sql), { timeout: 60_000 });

  return {
    coordinator,
    sql,
    database,
    policyFile,
    token,
    async write(count, task = {}) {
      const tasks = Array.from({ length: count }, () => ({ ...newTask, type: 'a.plain', ...task }));
      return (await database.run((run) => insertTasks(run, tasks))).map(({ id }) => id);
    },
    async subscribe(options = {}) {
      const subscriber = await openSubscriber({
        door: 'gRPC',
        node: coordinator,
        token: options.token ?? (await token('root')),
        ...options,
      });
      open.push(subscriber);
      return subscriber;
    },
    async stored(ids) {
      const rows = await sql<{ key: string }[]>`
        SELECT task_id || ':' || sequence AS key FROM task_event WHERE task_id = ANY(${ids})
        ORDER BY stream_order, task_id, sequence`;
      return rows.map(({ key }) => key);
    },
    async stop() {
      await Promise.all(open.map((subscriber) => subscriber.stop()));
      await sql.end();
      await database.close();
      await coordinator.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
