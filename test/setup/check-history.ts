import type postgres from 'postgres';
import { type EventKind, type Move, moves } from '../../server/domain/lifecycle.ts';
import { isFinal, type TaskState } from '../../server/domain/task-state.ts';

/** What a run left behind, for assertions about more than its soundness. */
export interface HistoryReport {
  readonly tasks: number;
  readonly events: number;
  readonly byState: Readonly<Partial<Record<TaskState, number>>>;
  /** Highest attempt of any task. */
  readonly attemptMax: number;
  readonly byKind: Readonly<Partial<Record<EventKind, number>>>;
}

interface TaskRow {
  readonly id: string;
  readonly state: TaskState;
  readonly attempt: number;
  readonly eventSequence: number;
}

interface EventRow {
  readonly taskId: string;
  readonly sequence: number;
  readonly kind: EventKind;
  readonly state: TaskState;
  readonly attempt: number;
  readonly leaseId: string | null;
}

/**
 * Holds a whole database against what every history must be: each acknowledged task is there, and nothing that nobody
 * submitted; sequences without a gap; every step a move of the table; one final event, the last one, redrive, skip and
 * discard of a failed task aside; one live lease at a time, and none given while paused. Throws with every fault, and when there was nothing to look at.
 */
export async function checkHistory(
  sql: postgres.Sql,
  acknowledged: Iterable<string>,
  options: { readonly allEnded?: boolean; readonly mayHaveUnacknowledged?: boolean } = {},
): Promise<HistoryReport> {
  const { allEnded = true, mayHaveUnacknowledged = false } = options;
  // Of one moment, as work may go on.
  const [tasks, events] = await sql.begin('ISOLATION LEVEL REPEATABLE READ', async (snapshot) => [
    await snapshot<TaskRow[]>`SELECT id, state, attempt, event_sequence AS "eventSequence" FROM task`,
    await snapshot<EventRow[]>`
      SELECT task_id AS "taskId", sequence, kind, state, attempt, lease_id AS "leaseId" FROM task_event
      ORDER BY task_id, sequence`,
  ]);
  const faults: string[] = [];
  const known = new Map(tasks.map((task) => [task.id, task]));
  const wanted = new Set(acknowledged);
  if (wanted.size === 0) faults.push('no task was acknowledged: there is nothing to check');
  for (const id of wanted) if (!known.has(id)) faults.push(`${id}: acknowledged and lost`);
  if (!mayHaveUnacknowledged) {
    for (const { id } of tasks) if (!wanted.has(id)) faults.push(`${id}: nobody was told of it`);
  }
  const histories = Map.groupBy(events, (event) => event.taskId);
  for (const id of histories.keys()) if (!known.has(id)) faults.push(`${id}: events without a task`);
  for (const task of tasks) {
    faults.push(...faultsOf(task, histories.get(task.id) ?? []).map((fault) => `${task.id}: ${fault}`));
    if (allEnded && !isFinal(task.state)) faults.push(`${task.id}: is still ${task.state}`);
  }
  if (faults.length > 0) {
    throw new Error(`${faults.length} faults in ${tasks.length} histories:\n${faults.slice(0, 20).join('\n')}`);
  }
  return {
    tasks: tasks.length,
    events: events.length,
    byState: count(tasks.map((task) => task.state)),
    attemptMax: Math.max(0, ...tasks.map((task) => task.attempt)),
    byKind: count(events.map((event) => event.kind)),
  };
}

function faultsOf(task: TaskRow, history: readonly EventRow[]): string[] {
  const faults: string[] = [];
  let state: TaskState | undefined;
  let lease: string | null = null;
  let attempt = 0;
  let isPaused = false;
  let isDiscarded = false;
  history.forEach((event, index) => {
    const at = `event ${event.sequence} (${event.kind})`;
    if (event.sequence !== index + 1) faults.push(`${at} stands at place ${index + 1}`);
    if (isDiscarded || (state !== undefined && isFinal(state) && !ofDeadLetters.has(event.kind)))
      faults.push(`${at} comes after the end`);
    isDiscarded ||= event.kind === 'discarded';
    if (isPaused && event.kind === 'leased') faults.push(`${at} while it is paused`);
    if (event.kind === 'paused' || event.kind === 'resumed') isPaused = event.kind === 'paused';
    if (isFinal(event.state)) isPaused = false;
    if (!isStep(state, event))
      faults.push(`${at} is no move of the table from ${state ?? 'nothing'} to ${event.state}`);
    if (event.kind === 'leased') {
      if (lease !== null) faults.push(`${at} while lease ${lease} lives`);
      if (event.attempt !== attempt + 1) faults.push(`${at} is attempt ${event.attempt} after ${attempt}`);
      lease = event.leaseId;
      attempt = event.attempt;
    } else if (event.leaseId !== null && event.leaseId !== lease) {
      faults.push(`${at} is of lease ${event.leaseId} while ${lease} lives`);
    }
    if (event.state !== 'RUNNING') lease = null;
    if (event.kind === 'released') attempt -= 1;
    state = event.state;
  });
  const last = history.at(-1);
  if (last === undefined) faults.push('has no history');
  else if (last.sequence !== task.eventSequence || last.state !== task.state) {
    faults.push(`is ${task.state} at ${task.eventSequence}, its history ends ${last.state} at ${last.sequence}`);
  }
  if (attempt !== task.attempt) faults.push(`is at attempt ${task.attempt}, its history at ${attempt}`);
  return faults;
}

/** What may still happen to a task that has failed. */
const ofDeadLetters: ReadonlySet<EventKind> = new Set(['redriven', 'skipped', 'discarded']);

function isStep(from: TaskState | undefined, event: EventRow): boolean {
  if (from === undefined) return event.kind === 'submitted' && (event.state === 'PENDING' || event.state === 'BLOCKED');
  return moves.some((move: Move) => move.from === from && move.effect.event === event.kind && move.to === event.state);
}

function count<Key extends string>(keys: readonly Key[]): Partial<Record<Key, number>> {
  const counts: Partial<Record<Key, number>> = {};
  for (const key of keys) counts[key] = (counts[key] ?? 0) + 1;
  return counts;
}
