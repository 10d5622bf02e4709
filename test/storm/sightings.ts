import type postgres from 'postgres';
import type { Sighting } from '../setup/read-stream.ts';

/** What somebody has seen of the events. */
export interface Sightings {
  /** Of each subject: the highest sequence that was seen. */
  readonly reached: Map<string, number>;
  /** Ids of events of tasks that have not been seen, while later ones of their task have. */
  readonly skipped: Set<string>;
  /** Events that were first seen after a later one of their subject. */
  readonly late: string[];
  /** Of events that are about no task. */
  readonly otherIds: Set<string>;
  /** Ids that do not say what they are of. */
  readonly strange: string[];
  /** How many were seen for the first time, and how many once more. */
  first: number;
  again: number;
}

export function createSightings(): Sightings {
  return {
    ...{ reached: new Map(), skipped: new Set(), late: [], otherIds: new Set(), strange: [] },
    ...{ first: 0, again: 0 },
  };
}

export function see(sightings: Sightings, events: readonly Sighting[]): void {
  const { reached, skipped, late, otherIds, strange } = sightings;
  for (const { subject, sequence, id } of events) {
    const key = `${subject}:${sequence}`;
    if (!isTask(subject)) otherIds.add(id);
    else if (id !== key) strange.push(`${key} has the id ${id}`);
    const last = reached.get(subject) ?? 0;
    if (sequence > last) {
      for (let missing = last + 1; missing < sequence; missing += 1) skipped.add(`${subject}:${missing}`);
      reached.set(subject, sequence);
      sightings.first += 1;
    } else if (skipped.delete(key)) {
      late.push(`${key} came after ${last}`);
      sightings.first += 1;
    } else {
      sightings.again += 1;
    }
  }
}

/** What Postgres says has happened. */
export interface Happened {
  /** The last sequence of each task. */
  readonly tasks: ReadonlyMap<string, number>;
  /** Ids of what is about no task. */
  readonly others: ReadonlySet<string>;
  /** Of all events. */
  readonly count: number;
}

export async function selectHappened(sql: postgres.Sql): Promise<Happened> {
  // That a history has no gap is held against it elsewhere.
  const tasks = await sql<{ id: string; last: number }[]>`
    SELECT task_id AS id, max(sequence) AS last FROM task_event GROUP BY task_id`;
  const others = await sql<{ id: string }[]>`SELECT id FROM system_event`;
  return {
    tasks: new Map(tasks.map(({ id, last }) => [id, last])),
    others: new Set(others.map(({ id }) => id)),
    count: tasks.reduce((sum, { last }) => sum + last, others.length),
  };
}

/** Ids of events that have happened and were not seen. */
export function unseen({ tasks, others }: Pick<Happened, 'tasks' | 'others'>, sightings: Sightings): string[] {
  const { reached, skipped, otherIds } = sightings;
  const ids = [...skipped].filter(isTask);
  for (const [id, last] of tasks) {
    for (let sequence = (reached.get(id) ?? 0) + 1; sequence <= last; sequence += 1) ids.push(`${id}:${sequence}`);
  }
  for (const id of others) if (!otherIds.has(id)) ids.push(id);
  return ids;
}

/** What was seen and has not happened. */
export function invented({ tasks, others }: Happened, { reached, otherIds, strange }: Sightings): string[] {
  const beyond = [...reached].filter(([subject, last]) => isTask(subject) && last > (tasks.get(subject) ?? 0));
  const unknown = [...otherIds].filter((id) => !others.has(id));
  return [...beyond.map(([subject, last]) => `${subject}:${last} has not happened`), ...unknown, ...strange];
}

function isTask(subject: string): boolean {
  return !subject.includes('/');
}
