import { randomUUID } from 'node:crypto';
import type postgres from 'postgres';
import type { NewTask } from '../../server/store/insert-tasks.ts';

/** A task that is due now and has nothing special. */
export const newTask: NewTask = {
  namespace: 'default',
  type: 'store.test',
  limitKey: '',
  priority: 4,
  attemptsMax: 5,
  availableTime: null,
  delayMs: 0,
  startMs: null,
  deliveryMs: null,
  heartbeatMs: null,
  runMs: 60_000,
  totalMs: null,
  retryPolicy: null,
  labels: {},
  input: Buffer.from('{}'),
  inputContentType: 'application/json',
  idempotencyKey: null,
  requestHash: null,
  creator: 'test',
  traceParent: null,
};

/** A session that lives for an hour. */
export async function insertSession(sql: postgres.Sql): Promise<string> {
  const id = randomUUID();
  await sql`
    INSERT INTO worker_session (id, namespace, principal, secret_hash, node, task_types, slots, labels, sdk_name,
      sdk_version, build_version, expire_time)
    VALUES (${id}, 'default', 'test', '', 'node', '{}', 3, '{}', '', '', '', now() + interval '1 hour')`;
  return id;
}
