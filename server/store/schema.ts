import { type Bucket, type CircuitBreaker, circuitStates, type Probe } from '../domain/circuit.ts';
import { dependencyPolicies } from '../domain/dependency.ts';
import { eventKinds } from '../domain/lifecycle.ts';
import type { RetryPolicy } from '../domain/retry.ts';
import { taskStates } from '../domain/task-state.ts';
import type { TypeLimits } from '../domain/type-limits.ts';
import {
  bigint,
  boolean,
  check,
  customType,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgEnum,
  pgTable,
  primaryKey,
  real,
  smallint,
  sql,
  text,
  timestamp,
  uuid,
} from './drizzle.ts';

export const bytea = customType<{ data: Uint8Array; driverData: Uint8Array }>({ dataType: () => 'bytea' });
/** A transaction's id that never comes again; digits, because a number would not hold it. */
export const xid8 = customType<{ data: string }>({ dataType: () => 'xid8' });
export const instant = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' });

export const taskState = pgEnum('task_state', taskStates);
export const circuitState = pgEnum('circuit_state', circuitStates);
export const taskEventKind = pgEnum('task_event_kind', eventKinds);
export const dependencyPolicy = pgEnum('dependency_policy', dependencyPolicies);

/** `dstc.v1.TaskError` as it is stored. */
export interface StoredError {
  readonly code: string;
  readonly message: string;
  readonly kind: 'TRANSIENT' | 'PERMANENT' | 'FATAL';
}

export const taskType = pgTable(
  'task_type',
  {
    namespace: text('namespace').notNull(),
    name: text('name').notNull(),
    description: text('description').notNull(),
    // As text, because jsonb would refuse the \u0000 that a schema may rightly contain.
    inputSchema: text('input_schema'),
    outputSchema: text('output_schema'),
    retryPolicy: jsonb('retry_policy').$type<RetryPolicy>().notNull(),
    startMs: bigint('start_ms', { mode: 'number' }),
    deliveryMs: bigint('delivery_ms', { mode: 'number' }),
    heartbeatMs: bigint('heartbeat_ms', { mode: 'number' }),
    runMs: bigint('run_ms', { mode: 'number' }).notNull(),
    totalMs: bigint('total_ms', { mode: 'number' }),
    priority: smallint('priority').notNull(),
    retentionMs: bigint('retention_ms', { mode: 'number' }).notNull(),
    /** As they were applied; null is none. What a claim needs of them is in `limited_type`. */
    limits: jsonb('limits').$type<TypeLimits>(),
    /** Null is the default breaker. */
    circuitBreaker: jsonb('circuit_breaker').$type<CircuitBreaker>(),
    etag: text('etag').notNull(),
    createTime: instant('create_time').notNull().defaultNow(),
    updateTime: instant('update_time').notNull().defaultNow(),
    /** Set once it was deleted; the row stays until the last of its tasks is gone. */
    deleteTime: instant('delete_time'),
  },
  (table) => [primaryKey({ columns: [table.namespace, table.name] })],
);

/** What keeps tasks from being leased; a type or namespace that nothing was ever held up of has no row. */
export const taskGate = pgTable(
  'task_gate',
  {
    namespace: text('namespace').notNull(),
    /** Empty for the whole namespace. */
    type: text('type').notNull(),
    /** Nothing is leased while it is set. */
    pausedTime: instant('paused_time'),
    pausedBy: text('paused_by'),
    pauseReason: text('pause_reason'),
    circuit: circuitState('circuit').notNull().default('CLOSED'),
    /** When, by whom and why the circuit came to be so; null while it has always been closed. */
    circuitTime: instant('circuit_time'),
    circuitBy: text('circuit_by'),
    circuitReason: text('circuit_reason'),
    /** Of an open circuit: when the first probe may be leased. */
    probeTime: instant('probe_time'),
    openings: integer('openings').notNull().default(0),
    buckets: jsonb('buckets').$type<readonly Bucket[]>().notNull().default([]),
    probes: jsonb('probes').$type<readonly Probe[]>().notNull().default([]),
    probesSucceeded: integer('probes_succeeded').notNull().default(0),
  },
  (table) => [
    primaryKey({ columns: [table.namespace, table.type] }),
    // Those that hold something up; empty most of the time.
    index('task_gate_shut').on(table.namespace, table.type).where(sql`paused_time IS NOT NULL OR circuit <> 'CLOSED'`),
  ],
);

export const task = pgTable(
  'task',
  {
    id: uuid('id').primaryKey(),
    namespace: text('namespace').notNull(),
    type: text('type').notNull(),
    state: taskState('state').notNull(),
    /** Whose turns and limits it counts for; empty without a key. */
    limitKey: text('limit_key').notNull().default(''),
    priority: smallint('priority').notNull(),
    attempt: integer('attempt').notNull().default(0),
    attemptsMax: integer('attempts_max').notNull(),
    /** Workers lost while they held it. */
    crashes: smallint('crashes').notNull().default(0),
    /** The sequence of its last event; taken under the row's lock. */
    eventSequence: integer('event_sequence').notNull().default(1),
    /** The stream order of its last event; see `task_event`. */
    streamOrder: xid8('stream_order').notNull().default(sql`pg_current_xact_id()`),
    /** The `traceparent` (W3C Trace Context) of its submission. */
    traceParent: text('trace_parent'),
    createTime: instant('create_time').notNull(),
    availableTime: instant('available_time').notNull(),
    /** When the current attempt was accepted. */
    startedTime: instant('started_time'),
    finishedTime: instant('finished_time'),
    startDeadline: instant('start_deadline'),
    runDeadline: instant('run_deadline'),
    totalDeadline: instant('total_deadline'),
    /** Set while its worker is asked to stop: when the lease is revoked. */
    cancelDeadline: instant('cancel_deadline'),
    cancelReason: text('cancel_reason'),
    /** Of an attempt that reports progress or is held to be lost. */
    heartbeatDeadline: instant('heartbeat_deadline'),
    /** Not leased while it is set. */
    pausedTime: instant('paused_time'),
    /** Of a failed task: since when it is a dead letter no more. */
    discardedTime: instant('discarded_time'),
    /** Deadlines as lengths, for the moves that begin them anew. Null is none; of the delivery, the node's. */
    startMs: bigint('start_ms', { mode: 'number' }),
    deliveryMs: bigint('delivery_ms', { mode: 'number' }),
    heartbeatMs: bigint('heartbeat_ms', { mode: 'number' }),
    runMs: bigint('run_ms', { mode: 'number' }).notNull(),
    totalMs: bigint('total_ms', { mode: 'number' }),
    /** The current lease; kept after its report as a mark of who settled it. */
    leaseId: uuid('lease_id'),
    sessionId: uuid('session_id'),
    /** Whether the current lease counts for a limit on concurrency. */
    counted: boolean('counted').notNull().default(false),
    /** Null is the default policy. */
    retryPolicy: jsonb('retry_policy').$type<RetryPolicy>(),
    labels: jsonb('labels').$type<Record<string, string>>().notNull(),
    input: bytea('input').notNull(),
    inputContentType: text('input_content_type').notNull(),
    output: bytea('output'),
    outputContentType: text('output_content_type'),
    error: jsonb('error').$type<StoredError>(),
    /** What errors of one cause have in common; see `domain/fingerprint.ts`. */
    errorFingerprint: text('error_fingerprint'),
    progressPercent: real('progress_percent'),
    progressMessage: text('progress_message'),
    checkpoint: bytea('checkpoint'),
    idempotencyKey: text('idempotency_key'),
    creator: text('creator').notNull(),
    /** How many tasks it depends on; see `task_dependency`. */
    dependencyCount: smallint('dependency_count').notNull().default(0),
    /** Whether its end, when it comes or has come, is still to be told to tasks that depend on it. */
    hasDependents: boolean('has_dependents').notNull().default(false),
  },
  (table) => [
    // The claim: the due tasks of one type, key and priority, oldest first.
    index('task_pending')
      .on(table.namespace, table.type, table.limitKey, table.priority, table.availableTime, table.id)
      .where(sql`state = 'PENDING' AND paused_time IS NULL`),
    // What waits and no claim may find; with the index before, all that waits.
    index('task_held')
      .on(table.namespace, table.type)
      .where(sql`state = 'BLOCKED' OR (state = 'PENDING' AND paused_time IS NOT NULL)`),
    // What runs of a type with a limit on concurrency; empty without one.
    index('task_counted').on(table.namespace, table.type, table.limitKey).where(sql`state = 'RUNNING' AND counted`),
    // The leases of a session, for its loss and its resume.
    index('task_running').on(table.sessionId).where(sql`state = 'RUNNING'`),
    // The next deadline of any kind.
    index('task_timer')
      .on(sql`LEAST(start_deadline, run_deadline, total_deadline, cancel_deadline, heartbeat_deadline)`)
      .where(
        sql`state IN ('BLOCKED', 'PENDING', 'RUNNING') AND LEAST(start_deadline, run_deadline, total_deadline, cancel_deadline, heartbeat_deadline) IS NOT NULL`,
      ),
    // Workers that must be told to stop; empty most of the time.
    index('task_cancelling').on(table.sessionId).where(sql`state = 'RUNNING' AND cancel_deadline IS NOT NULL`),
    // Ended tasks by age, for retention.
    index('task_finished').on(table.namespace, table.type, table.finishedTime).where(sql`finished_time IS NOT NULL`),
    // Dead letters in the order of pages, for search and redrive; the type lets those of others be passed over unread.
    index('task_dead_letter')
      .on(table.namespace, table.id, table.type)
      .where(sql`state = 'FAILED' AND discarded_time IS NULL`),
    // Ends that dependents have not heard of; empty but for a moment. What ends a task puts it here by doing so.
    // By time, because no other index could take its place for a planner whose statistics are from another moment.
    index('task_ended_dependency').on(table.finishedTime).where(sql`has_dependents AND finished_time IS NOT NULL`),
    // Search by label, also by its mere existence; tasks without labels cost nothing.
    index('task_labels').using('gin', sql`labels`).where(sql`labels <> '{}'::jsonb`),
    check('task_running_is_leased', sql`state <> 'RUNNING' OR (lease_id IS NOT NULL AND session_id IS NOT NULL)`),
    check(
      'task_final_is_finished',
      sql`(state IN ('SUCCEEDED', 'FAILED', 'CANCELLED', 'SKIPPED')) = (finished_time IS NOT NULL)`,
    ),
    check('task_priority_in_range', sql`priority BETWEEN 0 AND 9`),
  ],
);

/**
 * What a claim has to respect of the types whose tasks are not simply the next ones: those with a key, a limit on
 * concurrency or a rate. All others have no row. A claim for a type with a limit holds its row, so that nodes claim
 * one after the other.
 */
export const limitedType = pgTable(
  'limited_type',
  {
    namespace: text('namespace').notNull(),
    type: text('type').notNull(),
    /** Whether its tasks may have keys: once true always true, because such tasks may wait for long. */
    keyed: boolean('keyed').notNull(),
    concurrencyMax: integer('concurrency_max'),
    concurrencyPerKeyMax: integer('concurrency_per_key_max'),
    /** Tokens that a second brings, and how many there may be. */
    ratePerS: doublePrecision('rate_per_s'),
    burst: doublePrecision('burst'),
    keyRatePerS: doublePrecision('key_rate_per_s'),
    keyBurst: doublePrecision('key_burst'),
    /** What the bucket held at an instant; null is full. */
    tokens: doublePrecision('tokens'),
    refillTime: instant('refill_time'),
    /** Since when leases of before count, too; null once all of them do. */
    adoptTime: instant('adopt_time'),
  },
  (table) => [primaryKey({ columns: [table.namespace, table.type] })],
);

/** The buckets of keys that are not full; the others have no row. */
export const keyBucket = pgTable(
  'key_bucket',
  {
    namespace: text('namespace').notNull(),
    type: text('type').notNull(),
    limitKey: text('limit_key').notNull(),
    tokens: doublePrecision('tokens').notNull(),
    refillTime: instant('refill_time').notNull(),
    /** When it is full again, and the row is of no more use. */
    fullTime: instant('full_time').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.namespace, table.type, table.limitKey] }),
    index('key_bucket_full').on(table.fullTime),
  ],
);

/** What a task depends on; lives as long as the task, and may outlive what it depends on. */
export const taskDependency = pgTable(
  'task_dependency',
  {
    taskId: uuid('task_id').notNull(),
    /** In the submission, from 0. */
    position: smallint('position').notNull(),
    dependsOn: uuid('depends_on').notNull(),
    policy: dependencyPolicy('policy').notNull(),
    /** Until what it depends on has ended as the policy allows, or the policy has done what it says. */
    waits: boolean('waits').notNull(),
    /** Whether who submitted the task could read payloads of the other's type, so that its worker may. */
    sharesOutput: boolean('shares_output').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.taskId, table.position] }),
    // Who is to hear of an end, in the order in which tasks are locked; and whether anybody still needs a result.
    index('task_dependency_dependents').on(table.dependsOn, table.waits, table.taskId),
    // Whether a task waits for anything.
    index('task_dependency_waiting').on(table.taskId).where(sql`waits`),
  ],
);

/** Which task an idempotency key made; lives as long as the task. */
export const idempotencyKey = pgTable(
  'idempotency_key',
  {
    namespace: text('namespace').notNull(),
    key: text('key').notNull(),
    taskId: uuid('task_id').notNull(),
    /** SHA-256 of what was asked for. */
    requestHash: bytea('request_hash').notNull(),
  },
  (table) => [primaryKey({ columns: [table.namespace, table.key] })],
);

export const workerSession = pgTable(
  'worker_session',
  {
    id: uuid('id').primaryKey(),
    namespace: text('namespace').notNull(),
    principal: text('principal').notNull(),
    /** SHA-256 of the resume secret. */
    secretHash: bytea('secret_hash').notNull(),
    node: text('node').notNull(),
    taskTypes: jsonb('task_types').$type<Record<string, number>>().notNull(),
    slots: integer('slots').notNull(),
    labels: jsonb('labels').$type<Record<string, string>>().notNull(),
    sdkName: text('sdk_name').notNull(),
    sdkVersion: text('sdk_version').notNull(),
    buildVersion: text('build_version').notNull(),
    createTime: instant('create_time').notNull().defaultNow(),
    expireTime: instant('expire_time').notNull(),
    /** Set while an operator drains it: when he last said so. It gets no leases any more. */
    drainTime: instant('drain_time'),
    /** When what it still holds is given to others; null is never. */
    drainDeadline: instant('drain_deadline'),
    drainReason: text('drain_reason'),
  },
  (table) => [
    index('worker_session_expire').on(table.expireTime),
    // Workers that must be told to stop; empty most of the time.
    index('worker_session_drain').on(table.drainDeadline).where(sql`drain_time IS NOT NULL`),
  ],
);
