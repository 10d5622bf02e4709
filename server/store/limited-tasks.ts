import type { Want } from './allowance.ts';
import type { Sql } from './database.ts';
import type { DueTask } from './lease-tasks.ts';

/**
 * How far a walk over the keys of a type has come. A lap begins behind the key that was served last, goes on from the
 * first key after the last one, and ends where it began.
 */
export interface Lap {
  /** The walk goes on behind this key. */
  readonly afterKey: string;
  /** Whether it has come past the last key. */
  readonly hasTurned: boolean;
  /** The last key of the lap. */
  readonly stopKey: string;
}

export interface LimitedWant extends Want {
  readonly lap: Lap;
}

/** A due task of a type with limits, as far as those allow it. */
export interface LimitedTask extends Omit<DueTask, 'isProbe'> {
  readonly limitKey: string;
  /** When its key was met. */
  readonly turn: number;
}

/** What a type's limits come to at this moment, and its due tasks that they allow. */
export interface LimitedQueue {
  readonly namespace: string;
  readonly type: string;
  /** Tasks that may be leased now, `tasksMax` included. */
  readonly room: number;
  /** Whether its leases count for a limit on concurrency. */
  readonly isCounted: boolean;
  /** The bucket of the type; undefined without a rate. */
  readonly bucket: Bucket | undefined;
  readonly hasKeyRate: boolean;
  /** The fullest bucket of a key that has due tasks and no token; undefined when there is none. */
  readonly keyBucket: Bucket | undefined;
  /** Where the walk ended; undefined when the lap is over. */
  readonly rest: Lap | undefined;
  /** Whether some key may have more due tasks than are answered. */
  readonly hasMore: boolean;
  /** Each key's by priority and age, the keys in the order in which they were met. */
  readonly tasks: readonly LimitedTask[];
}

/** Tokens, and what a second adds until there are `burst`. */
export interface Bucket {
  readonly tokens: number;
  readonly perS: number;
  readonly burst: number;
}

/** Keys that one claim looks at. Each costs a few microseconds, whatever waits behind it. */
const keysMax = 500;
/** Keys that are looked at beyond the room, when some may be held back by limits of their own. */
const sparesMax = 100;

interface Row {
  readonly namespace: string;
  readonly type: string;
  readonly room: number;
  readonly is_counted: boolean;
  readonly tokens: number | null;
  readonly rate_per_s: number | null;
  readonly burst: number | null;
  readonly key_tokens: number | null;
  readonly key_rate_per_s: number | null;
  readonly key_burst: number | null;
  readonly is_cut: boolean | null;
  readonly last_key: string | null;
  readonly has_turned: boolean | null;
  readonly stop_key: string;
  readonly share: number | null;
  readonly id: string | null;
  readonly priority: number | null;
  readonly available_ms: number | null;
  readonly attempt: number | null;
  readonly limit_key: string | null;
  readonly turn: number | null;
}

/**
 * Counts what the limits of each type allow and locks due tasks within them, some of each key. The rows of
 * `limited_type` were locked by an earlier statement: this one sees all that earlier holders have done.
 *
 * The walk is a loose scan of index `task_pending`: from one key and priority it jumps to the next, where the first
 * entry tells whether anything is due, so that 100,000 tasks of one key cost no more than one. It ends when there is
 * enough for the room. What runs is counted by index `task_counted`, up to the limit.
 */
export async function lockDueLimitedTasks(sql: Sql, wants: readonly LimitedWant[]): Promise<LimitedQueue[]> {
  const rows = await sql<Row[]>`
    WITH RECURSIVE want AS MATERIALIZED (
      SELECT wanted.*, l.concurrency_max, l.concurrency_per_key_max, l.rate_per_s, l.burst, l.key_rate_per_s, l.key_burst,
        bucket.tokens,
        GREATEST(0, LEAST(wanted.tasks_max, l.concurrency_max - running.count, floor(bucket.tokens)))::int AS room,
        CASE WHEN l.concurrency_per_key_max IS NULL AND l.key_rate_per_s IS NULL THEN 0 ELSE ${sparesMax}::int END AS spares
      FROM unnest(
        (SELECT ${wants.map((w) => w.namespace)}::text[]), ${wants.map((w) => w.type)}::text[],
        ${wants.map((w) => w.tasksMax)}::int[], ${wants.map((w) => w.lap.afterKey)}::text[],
        ${wants.map((w) => (w.lap.hasTurned ? 1 : 0))}::int[], ${wants.map((w) => w.lap.stopKey)}::text[]
      ) AS wanted(namespace, type, tasks_max, after_key, lap, stop_key)
      JOIN limited_type AS l USING (namespace, type)
      CROSS JOIN LATERAL (
        SELECT CASE WHEN l.rate_per_s IS NOT NULL THEN
          LEAST(l.burst, COALESCE(l.tokens, l.burst)
            + GREATEST(0, COALESCE(extract(epoch FROM now() - l.refill_time)::float8, 0)) * l.rate_per_s)
          END AS tokens
      ) AS bucket
      CROSS JOIN LATERAL (
        SELECT count(*) FROM (
          SELECT FROM task WHERE l.concurrency_max IS NOT NULL
            AND task.namespace = wanted.namespace AND task.type = wanted.type AND state = 'RUNNING' AND counted
          LIMIT l.concurrency_max
        ) AS counted
      ) AS running
    ), walk(namespace, type, room, spares, stop_key, key, priority, head, lap, steps, due) AS (
      SELECT namespace, type, room, spares, stop_key, after_key, 32767::smallint, NULL::timestamptz, lap, 0, 0
      FROM want WHERE room > 0
      UNION ALL
      SELECT walk.namespace, walk.type, walk.room, walk.spares, walk.stop_key, next.limit_key, next.priority,
        next.available_time, next.lap, walk.steps + 1, walk.due + (next.available_time <= now())::int
      FROM walk CROSS JOIN LATERAL (
        (SELECT limit_key, task.priority, available_time, walk.lap FROM task
          WHERE task.namespace = walk.namespace AND task.type = walk.type
            AND (limit_key, task.priority) > (walk.key, walk.priority) AND state = 'PENDING' AND paused_time IS NULL
          ORDER BY limit_key, task.priority, available_time, id LIMIT 1)
        UNION ALL
        (SELECT limit_key, task.priority, available_time, 1 FROM task
          WHERE walk.lap = 0 AND task.namespace = walk.namespace AND task.type = walk.type
            AND state = 'PENDING' AND paused_time IS NULL
          ORDER BY limit_key, task.priority, available_time, id LIMIT 1)
        LIMIT 1
      ) AS next
      WHERE (next.lap = 0 OR next.limit_key <= walk.stop_key)
        -- A key is never left before its last priority, which is its highest.
        AND ((walk.steps < ${keysMax}::int AND walk.due < walk.room + walk.spares) OR next.limit_key = walk.key)
    ), stop AS (
      SELECT DISTINCT ON (namespace, type) namespace, type, key, lap,
        steps >= ${keysMax}::int OR due >= room + spares AS is_cut
      FROM walk ORDER BY namespace, type, steps DESC
    ), met AS MATERIALIZED (
      SELECT namespace, type, key, min(steps) AS turn,
        array_agg(priority ORDER BY priority DESC) FILTER (WHERE head <= now()) AS levels
      FROM walk WHERE steps > 0 GROUP BY namespace, type, key
    ), open AS MATERIALIZED (
      SELECT met.*, bucket.tokens, running.count AS running,
        LEAST(want.concurrency_per_key_max - running.count, floor(bucket.tokens)) AS key_room
      FROM met JOIN want USING (namespace, type)
      LEFT JOIN key_bucket AS b ON want.key_rate_per_s IS NOT NULL
        AND b.namespace = met.namespace AND b.type = met.type AND b.limit_key = met.key
      CROSS JOIN LATERAL (
        SELECT CASE WHEN want.key_rate_per_s IS NOT NULL THEN
          LEAST(want.key_burst, COALESCE(b.tokens, want.key_burst)
            + GREATEST(0, COALESCE(extract(epoch FROM now() - b.refill_time)::float8, 0)) * want.key_rate_per_s)
          END AS tokens
      ) AS bucket
      CROSS JOIN LATERAL (
        SELECT count(*) FROM (
          SELECT FROM task WHERE want.concurrency_per_key_max IS NOT NULL AND task.namespace = want.namespace
            AND task.type = want.type AND limit_key = met.key AND state = 'RUNNING' AND counted
          LIMIT want.concurrency_per_key_max
        ) AS counted
      ) AS running
      WHERE met.levels IS NOT NULL
    ), split AS (
      SELECT namespace, type, max(open.tokens) FILTER (WHERE open.tokens < 1) AS tokens,
        ceil(max(want.room)::float8 / NULLIF(count(*) FILTER (WHERE COALESCE(key_room, 1) > 0), 0)) AS share
      FROM open JOIN want USING (namespace, type) GROUP BY namespace, type
    ), due AS (
      SELECT open.namespace, open.type, open.key AS limit_key, open.turn, found.*
      FROM open JOIN split USING (namespace, type)
      CROSS JOIN LATERAL (
        SELECT task.* FROM unnest(open.levels) AS level(priority)
        CROSS JOIN LATERAL (
          SELECT id, task.priority, extract(epoch FROM available_time)::float8 * 1000 AS available_ms, attempt FROM task
          WHERE task.namespace = open.namespace AND task.type = open.type AND limit_key = open.key
            AND task.priority = level.priority
            AND state = 'PENDING' AND paused_time IS NULL AND available_time <= now()
          ORDER BY available_time, id
          LIMIT LEAST(split.share, open.key_room)::int
          FOR UPDATE SKIP LOCKED
        ) AS task
        LIMIT LEAST(split.share, open.key_room)::int
      ) AS found
      WHERE COALESCE(open.key_room, 1) > 0
    )
    SELECT want.namespace, want.type, want.room, want.stop_key,
      num_nonnulls(want.concurrency_max, want.concurrency_per_key_max) > 0 AS is_counted,
      want.tokens, want.rate_per_s, want.burst, split.tokens AS key_tokens, want.key_rate_per_s, want.key_burst,
      stop.is_cut, stop.key AS last_key, stop.lap = 1 AS has_turned, split.share,
      due.id, due.priority, due.available_ms, due.attempt, due.limit_key, due.turn
    FROM want LEFT JOIN stop USING (namespace, type) LEFT JOIN split USING (namespace, type)
    LEFT JOIN due USING (namespace, type)`;
  return [...Map.groupBy(rows, ({ namespace, type }) => `${namespace}/${type}`).values()].flatMap((group) => {
    const [first] = group;
    return first === undefined ? [] : [queueOf(first, group.flatMap(taskOf))];
  });
}

function queueOf(row: Row, tasks: readonly LimitedTask[]): LimitedQueue {
  const { share, is_cut: isCut, last_key: afterKey } = row;
  const perKey = Map.groupBy(tasks, (task) => task.limitKey);
  return {
    namespace: row.namespace,
    type: row.type,
    room: row.room,
    isCounted: row.is_counted,
    bucket: bucketOf(row.tokens, row.rate_per_s, row.burst),
    hasKeyRate: row.key_rate_per_s !== null,
    keyBucket: bucketOf(row.key_tokens, row.key_rate_per_s, row.key_burst),
    rest:
      isCut === true && afterKey !== null
        ? { afterKey, hasTurned: row.has_turned === true, stopKey: row.stop_key }
        : undefined,
    hasMore: isCut === true || [...perKey.values()].some((ofKey) => ofKey.length >= (share ?? 0)),
    tasks,
  };
}

function bucketOf(tokens: number | null, perS: number | null, burst: number | null): Bucket | undefined {
  return tokens === null || perS === null || burst === null ? undefined : { tokens, perS, burst };
}

function taskOf(row: Row): LimitedTask[] {
  const { id, namespace, type, priority, available_ms: availableMs, attempt, limit_key: limitKey, turn } = row;
  if (id === null || priority === null || availableMs === null || attempt === null) return [];
  return [{ id, namespace, type, priority, availableMs, attempt, limitKey: limitKey ?? '', turn: turn ?? 0 }];
}
