import type postgres from 'postgres';
import type { Hold } from './messages.ts';
import type { Property } from './property.ts';
import type { StormRecord } from './record.ts';

const ways: readonly Hold['how'][] = [
  'pause of the type',
  'pause of the namespace',
  'circuit forced open',
  'circuit opened by a failure',
];

/**
 * From the answer that said so until the release was asked for, or a probe was due, nothing was leased. An event has the
 * time at which its transaction began, so that a claim under way when work was held up is older than the answer. One that
 * began right before the release may have looked right after it: what counts was leased for sure when the release was
 * asked for, as its worker had said something of it.
 */
export async function checkHolds(sql: postgres.Sql, { holds }: StormRecord): Promise<Property> {
  const held = sql`
    SELECT ord::int - 1 AS index, type, to_timestamp(from_ms / 1000) AS begin, to_timestamp(to_ms / 1000) AS release
    FROM unnest(
      ${holds.map(({ type }) => type)}::text[], ${holds.map(({ fromMs }) => fromMs)}::float8[],
      ${holds.map(({ toMs }) => toMs)}::float8[]
    ) WITH ORDINALITY AS item(type, from_ms, to_ms, ord)`;
  const leases = await sql<{ index: number; taskId: string; time: Date }[]>`
    SELECT index, task_id AS "taskId", time FROM (${held}) AS hold JOIN task_event AS e
      ON kind = 'leased' AND hold.type IN ('', e.type) AND time > begin AND time < release
    WHERE EXISTS (
      SELECT FROM task_event AS later
      WHERE later.task_id = e.task_id AND later.lease_id = e.lease_id AND later.kind <> 'leased'
        AND later.time < release
    )`;
  // Without anything that waited, nothing was tried.
  const tried = await sql<{ index: number }[]>`
    SELECT index FROM (${held}) AS hold WHERE EXISTS (
      SELECT FROM task
      WHERE task.type = CASE hold.type WHEN '' THEN 'storm.slow' ELSE hold.type END
        AND create_time > begin AND create_time < release
        AND release < (SELECT min(time) FROM task_event AS e WHERE task_id = task.id AND kind = 'leased')
    )`;
  const violations = leases.map(({ index, taskId, time }) => {
    const { how = '', type = '' } = holds[index] ?? {};
    return { text: `${taskId}: leased at ${time.toISOString()}, during the ${how} ${type}`.trimEnd(), taskId };
  });
  const count = (way: string) => tried.filter(({ index }) => holds[index]?.how === way).length;
  return {
    name: 'nothing is leased while it is paused or its circuit open',
    violations,
    samples: Math.min(...ways.map(count)),
    samplesMin: 1,
    figure: ways.map((way) => `${way} ${count(way)}`).join(', '),
  };
}
