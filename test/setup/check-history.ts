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
  readonly actor: string;
}

/**
 * Holds a whole database against what every history must be: each acknowledged task is there, and nothing that nobody
 * submitted; sequences without a gap; every step a move of the table; one final event, the last one, redrive, skip and
 * discard of a failed task aside; one live lease at a time, and none given while paused; nothing ended by a worker that
 * has not begun. Throws with every fault, and when there was nothing to look at.
 */
export async function checkHistory(
  sql: postgres.Sql,
  acknowledged: Iterable<string>,
  options: { readonly allEnded?: boolean; readonly mayHaveUnacknowledged?: boolean } = {},
): Promise<HistoryReport> {
  const { allEnded = true, mayHaveUnacknowledged = false } = options;
  const faults: string[] = [];
  const wanted = new Set(acknowledged);
  if (wanted.size === 0) faults.push('no task was acknowledged: there is nothing to check');
  const byKind: Partial<Record<EventKind, number>> = {};
  const byState: Partial<Record<TaskState, number>> = {};
  let attemptMax = 0;
  let events = 0;
  // Of one moment, as work may go on.
  const known = await sql.begin('ISOLATION LEVEL REPEATABLE READ', async (snapshot) => {
    const rows = await snapshot<TaskRow[]>`SELECT id, state, attempt, event_sequence AS "eventSequence" FROM task`;
    const unseen = new Map(rows.map((task) => [task.id, task]));
    for await (const history of histories(snapshot)) {
      const [{ taskId = '' } = {}] = history;
      const task = unseen.get(taskId);
      unseen.delete(taskId);
      if (task === undefined) faults.push(`${taskId}: events without a task`);
      else faults.push(...faultsOf(task, history).map((fault) => `${taskId}: ${fault}`));
      for (const { kind } of history) count(byKind, kind);
      events += history.length;
    }
    for (const id of unseen.keys()) faults.push(`${id}: has no history`);
    return new Map(rows.map((task) => [task.id, task]));
  });
  for (const id of wanted) if (!known.has(id)) faults.push(`${id}: acknowledged and lost`);
  for (const { id, state, attempt } of known.values()) {
    if (!mayHaveUnacknowledged && !wanted.has(id)) faults.push(`${id}: nobody was told of it`);
    if (allEnded && !isFinal(state)) faults.push(`${id}: is still ${state}`);
    count(byState, state);
    attemptMax = Math.max(attemptMax, attempt);
  }
  if (faults.length > 0) {
    throw new Error(`${faults.length} faults in ${known.size} histories:\n${faults.slice(0, 20).join('\n')}`);
  }
  return { tasks: known.size, events, byState, attemptMax, byKind };
}

const rowsAtOnce = 5_000;

/** The events of one task after the other: there may be more than fit into memory. */
async function* histories(sql: postgres.TransactionSql): AsyncGenerator<readonly EventRow[]> {
  let history: EventRow[] = [];
  const cursor = sql<EventRow[]>`
    SELECT task_id AS "taskId", sequence, kind, state, attempt, lease_id AS "leaseId", actor FROM task_event
    ORDER BY task_id, sequence`.cursor(rowsAtOnce);
  for await (const rows of cursor) {
    for (const event of rows) {
      if (history.length > 0 && history[0]?.taskId !== event.taskId) {
        yield history;
        history = [];
      }
      history.push(event);
    }
  }
  if (history.length > 0) yield history;
}

function faultsOf(task: TaskRow, history: readonly EventRow[]): string[] {
  const faults: string[] = [];
  let state: TaskState | undefined;
  let lease: string | null = null;
  let attempt = 0;
  let hasBegun = false;
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
      hasBegun = false;
    } else if (event.leaseId !== null && event.leaseId !== lease) {
      faults.push(`${at} is of lease ${event.leaseId} while ${lease} lives`);
    }
    hasBegun ||= event.kind === 'started';
    if (endsOfAttempts.has(event.kind) && event.leaseId !== null && !hasBegun && !event.actor.startsWith('system:'))
      faults.push(`${at} by ${event.actor}, which has not begun`);
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

/** How a worker ends an attempt. */
const endsOfAttempts: ReadonlySet<EventKind> = new Set([
  ...(['succeeded', 'retry_scheduled', 'failed', 'released', 'cancelled'] as const),
]);

/** What may still happen to a task that has failed. */
const ofDeadLetters: ReadonlySet<EventKind> = new Set(['redriven', 'skipped', 'discarded']);

function isStep(from: TaskState | undefined, event: EventRow): boolean {
  if (from === undefined) return event.kind === 'submitted' && (event.state === 'PENDING' || event.state === 'BLOCKED');
  return moves.some((move: Move) => move.from === from && move.effect.event === event.kind && move.to === event.state);
}

function count<Key extends string>(counts: Partial<Record<Key, number>>, key: Key): void {
  counts[key] = (counts[key] ?? 0) + 1;
}
