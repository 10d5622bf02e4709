import { cp, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FaultKind } from './faults.ts';

/** A replacement in one file of the coordinator. */
interface Edit {
  readonly file: string;
  readonly before: string;
  readonly after: string;
}

/** Mistakes that are easily made. None of them leaves a trace in the coordinator itself. */
const bugs = {
  /** A success is recorded without looking at the lease. */
  'no-fence': [
    {
      file: 'store/report-tasks.ts',
      before: `FROM item JOIN task ON task.id = item.id AND task.attempt = item.attempt AND task.lease_id = item.lease_id
        AND task.session_id = item.session_id AND task.state::text = 'RUNNING'`,
      after: `FROM item JOIN task ON task.id = item.id AND task.state::text = 'RUNNING'`,
    },
  ],
  /** Any other end is recorded without looking at the lease. */
  'stale-ends': [
    {
      file: 'store/lock-tasks.ts',
      before: `JOIN task ON task.id = item.id AND task.attempt = item.attempt AND task.lease_id = item.lease_id
      AND task.session_id = item.session_id AND task.state::text = 'RUNNING'`,
      after: `JOIN task ON task.id = item.id AND task.state::text = 'RUNNING'`,
    },
    {
      file: 'engine/report.ts',
      before: `return \`\${fence.taskId}/\${fence.attempt}/\${fence.leaseId}/\${sessionId}\`;`,
      after: 'return fence.taskId;',
    },
    {
      file: 'engine/report.ts',
      before: `return \`\${task.id}/\${task.attempt}/\${task.leaseId}/\${task.sessionId}\`;`,
      after: 'return task.id;',
    },
  ],
  /** Progress is stored without looking at the lease. */
  'stale-progress': [
    {
      file: 'store/report-tasks.ts',
      before: `JOIN task ON task.id = item.id AND task.attempt = item.attempt AND task.lease_id = item.lease_id
        AND task.session_id = item.session_id AND state::text = 'RUNNING'
      ORDER BY task.id`,
      after: `JOIN task ON task.id = item.id
      ORDER BY task.id`,
    },
  ],
  /** Expired sessions are left alone. */
  'no-sweep': [
    {
      file: 'engine/ticker.ts',
      before: 'if (found.hasExpiredSessions && outage.isOver())',
      after: 'if (false)',
    },
  ],
  /** Sessions end by the clock of the node. */
  'node-clock': [
    {
      file: 'store/sessions.ts',
      before: `UPDATE worker_session SET expire_time = now() + item.life_ms`,
      after: `UPDATE worker_session SET expire_time = to_timestamp(\${Date.now()}::float8 / 1000) + item.life_ms`,
    },
  ],
  /** A submission is answered before its commit. */
  'early-acknowledgement': [
    {
      file: 'engine/submit.ts',
      before: 'const inserted = await deps.database.run((sql) => insertTasks(sql, tasks, usedUpIds));',
      after: `const inserted = await new Promise<InsertedTask[]>((resolve, reject) => {
      deps.database.transaction(async (sql) => {
        resolve(await insertTasks(sql, tasks, usedUpIds));
        await new Promise((done) => setTimeout(done, 50));
      }).catch(reject);
    });`,
    },
  ],
  /** A known idempotency key makes another task. */
  'key-ignored': [
    {
      file: 'store/insert-tasks.ts',
      before: 'WHERE idempotency_key IS NULL OR id IN (SELECT task_id FROM keyed)',
      after: 'WHERE true',
    },
  ],
  /** A task goes to whoever asks, also when somebody has it. */
  'double-delivery': [
    {
      file: 'store/lease-tasks.ts',
      before: `FOR UPDATE SKIP LOCKED
      ) AS found
      WHERE limited.adopts IS NULL`,
      after: `) AS found
      WHERE limited.adopts IS NULL`,
    },
    {
      file: 'store/lease-tasks.ts',
      before: `AND state::text = 'PENDING' AND paused_time IS NULL
        AND item.session_id IN`,
      after: `AND item.session_id IN`,
    },
  ],
  /** What runs already does not count for the limit of its type. */
  'limit-ignored': [
    {
      file: 'store/limited-tasks.ts',
      before: 'l.concurrency_max - running.count,',
      after: 'l.concurrency_max,',
    },
  ],
  /** The rate of a type holds nothing back. */
  'rate-ignored': [
    { file: 'store/limited-tasks.ts', before: 'running.count, floor(bucket.tokens)))', after: 'running.count))' },
  ],
  /** A type is leased although it is paused. */
  'pause-ignored': [
    {
      file: 'store/allowance.ts',
      before: 'WHERE whole.paused_time IS NULL AND gate.paused_time IS NULL',
      after: 'WHERE whole.paused_time IS NULL',
    },
  ],
  /** A type is leased although its circuit is open. */
  'circuit-ignored': [
    {
      file: 'store/allowance.ts',
      before: "AND (gate.circuit IS NULL OR gate.circuit IN ('CLOSED', 'FORCED_CLOSED') OR probing.probes_left > 0)",
      after: '',
    },
  ],
  /** What depends on others begins at once. */
  'no-blocking': [
    {
      file: 'store/insert-tasks.ts',
      before: "CASE WHEN blocked THEN 'BLOCKED' ELSE 'PENDING' END::task_state",
      after: "'PENDING'::task_state",
    },
  ],
  /** A failure costs no attempt, so that it is tried for ever. */
  'free-retry': [
    {
      file: 'domain/lifecycle.ts',
      before: `{ ...settle, event: 'retry_scheduled', available: 'after backoff' }`,
      after: `{ ...settle, event: 'retry_scheduled', available: 'after backoff', attempt: -1 }`,
    },
  ],
  /** The end of a token counts when the stream is opened, and then never again. */
  'expiry-at-open': [
    {
      file: 'doors/worker/access.ts',
      before: 'const leftMs = () => caller.principal.expiresAt.getTime() - Date.now();',
      after: 'const leftMs = () => 3_600_000;',
    },
  ],
  /** What a principal may do counts when the stream is opened, and then never again. */
  'policy-at-open': [
    {
      file: 'doors/worker/access.ts',
      before: "may: (type) => leftMs() > 0 && caller.may('work', namespace, type),",
      after: 'may: () => true,',
    },
  ],
  /** Events are read as soon as they are there, whatever may still come before them. */
  'event-skipped': [
    {
      file: 'store/migrations/0001_events.sql',
      before: `AND stream_order >= after_order AND stream_order < pg_snapshot_xmin(pg_current_snapshot())
          AND (stream_order, task_id, sequence)`,
      after: `AND stream_order >= after_order
          AND (stream_order, task_id, sequence)`,
    },
    {
      file: 'store/migrations/0001_events.sql',
      before: `AND stream_order >= after_order AND stream_order < pg_snapshot_xmin(pg_current_snapshot())
        AND (stream_order, subject_id, sequence)`,
      after: `AND stream_order >= after_order
        AND (stream_order, subject_id, sequence)`,
    },
  ],
  /** The place of the relay is beyond what NATS has not acknowledged. */
  'early-mark': [
    {
      file: 'events/shard-reader.ts',
      before: `await consumer.deliver(shard.shard, events, shard.lost.signal);
      shard.after = last.position;`,
      after: `shard.after = last.position;
      await consumer.deliver(shard.shard, events, shard.lost.signal);`,
    },
  ],
  /** A stream whose store was lost goes on where the old one ended. */
  'no-refill': [
    {
      file: 'events/stream-watch.ts',
      before: 'missing: () => database.run((sql) => rewindLostReader(sql, reader, backMs)),',
      after: 'missing: async () => false,',
    },
    {
      file: 'store/event-readers.ts',
      before: `AND (target <> \${target} OR \${hasLost}::boolean)\`;`,
      after: `AND \${hasLost}::boolean\`;`,
    },
  ],
  /** A webhook's delivery counts as taken once it is on its way. */
  'early-delivery': [
    {
      file: 'events/webhooks/sender.ts',
      before: 'return await deps.send(delivery, stopping.signal);',
      after: `deps.send(delivery, stopping.signal).catch(() => undefined);
      return { is: 'taken', status: 204, externalId: null, remark: '' };`,
    },
  ],
  /** What a node was sending when it died is nobody's. */
  'delivery-dropped': [
    {
      file: 'store/claim-deliveries.ts',
      before: `SET attempts = attempts + 1, due_time = now() + \${lease}, last_attempt_time`,
      after: "SET attempts = attempts + 1, due_time = now() + interval '1 day', last_attempt_time",
    },
  ],
  /** The secret of before is no good any more once there is another one. */
  'rotation-at-once': [
    {
      file: 'events/webhooks/send-delivery.ts',
      before: 'const secrets = [endpoint.secret, ...endpoint.previousSecrets];',
      after: 'const secrets = [endpoint.secret];',
    },
  ],
  /** A unary call takes as long as it takes. */
  'no-deadline': [
    {
      file: 'doors/deadline.ts',
      before: 'return Math.min(clientMs ?? limits.unaryDeadlineMsDefault, limits.unaryDeadlineMsMax);',
      after: 'return limits.unaryDeadlineMsMax;',
    },
  ],
} satisfies { readonly [name: string]: readonly Edit[] };

export type BugName = keyof typeof bugs;
export const bugNames = Object.keys(bugs) as BugName[];

/** Faults without which a mistake does no harm. A minute has no time for all kinds, so these come first. */
export const faultsFor: { readonly [Name in BugName]?: readonly FaultKind[] } = {
  'early-acknowledgement': ['terminate backends', 'crash Postgres', 'kill a coordinator'],
  'policy-at-open': ['take the right to work away'],
  'early-mark': ['lose the store of NATS', 'leave NATS half open', 'block NATS', 'kill NATS', 'cut NATS off'],
  'no-refill': ['lose the store of NATS'],
  'delivery-dropped': ['kill a coordinator'],
  'no-deadline': ['block Postgres', 'leave Postgres half open'],
};

const repository = fileURLToPath(new URL('../..', import.meta.url));

/** Copies the coordinator into a directory, with a mistake in it; resolves with its program. */
export async function plantBug(directory: string, name: BugName): Promise<string> {
  const copy = join(directory, 'server');
  await cp(join(repository, 'server'), copy, { recursive: true });
  await symlink(join(repository, 'node_modules'), join(directory, 'node_modules'));
  for (const { file, before, after } of bugs[name]) {
    const text = await readFile(join(copy, file), 'utf8');
    const parts = text.split(before);
    if (parts.length !== 2) throw new Error(`${file} has the place of ${name} ${parts.length - 1} times, not once`);
    await writeFile(join(copy, file), parts.join(after));
  }
  return join(copy, 'main.ts');
}
