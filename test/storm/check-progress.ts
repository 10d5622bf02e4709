import type postgres from 'postgres';
import type { Stamp } from './plan.ts';
import type { Property } from './property.ts';
import type { StormRecord } from './record.ts';

interface HauntedTask {
  readonly id: string;
  /** Both name the lease under which they were said. */
  readonly message: string | null;
  readonly checkpoint: string;
  readonly output: string | null;
  /** The last one in the history. */
  readonly leaseId: string;
}

/**
 * Zombies tell of their progress whoever has the task by then. A lease begins without any, so what there is in the end is
 * of the last one; and the last holder found the checkpoint that still stands, unless it left one itself.
 */
export async function checkProgress(sql: postgres.Sql, { boasts }: StormRecord): Promise<Property> {
  const tasks = await sql<HauntedTask[]>`
    SELECT task.id, NULLIF(progress_message, '') AS message,
      COALESCE(convert_from(checkpoint, 'UTF8'), '') AS checkpoint, convert_from(output, 'UTF8') AS output,
      lease.lease_id AS "leaseId"
    FROM task JOIN LATERAL (
      SELECT lease_id FROM task_event e WHERE e.task_id = task.id AND e.kind = 'leased' ORDER BY sequence DESC LIMIT 1
    ) lease ON true
    WHERE type = 'storm.haunted'`;
  const byTask = Map.groupBy(boasts, ([, { taskId }]) => taskId);
  let samples = 0;
  const violations = tasks.flatMap(({ id, message, checkpoint, output, leaseId }) => {
    const { beganMs = Number.POSITIVE_INFINITY, found } = JSON.parse(output || '{}') as Partial<Stamp>;
    const isStale = byTask.get(id)?.some(([of, { atMs }]) => of !== leaseId && atMs > beganMs) ?? false;
    if (isStale) samples += 1;
    const wrong = [
      ...(message === null || message === leaseId ? [] : [`the progress of ${message}`]),
      ...(found === undefined || checkpoint === found || checkpoint === leaseId
        ? []
        : ['the checkpoint of another one']),
    ];
    return wrong.map((what) => ({ text: `${id}: the last lease is ${leaseId}, and it has ${what}`, taskId: id }));
  });
  const name = 'progress and checkpoints are of whoever has the task';
  return { name, violations, samples, samplesMin: 3, figure: 'told of after somebody else had begun' };
}
