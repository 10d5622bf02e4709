import { type Verdict, verdictOf } from '../domain/circuit.ts';
import { decide } from '../domain/decide.ts';
import { fingerprintOf } from '../domain/fingerprint.ts';
import type { Command, Effect, Move } from '../domain/lifecycle.ts';
import { retryPolicyDefault } from '../domain/limits.ts';
import type { Payload } from '../domain/payload.ts';
import { type RetryPolicy, retryDelayMs } from '../domain/retry.ts';
import { isFinal } from '../domain/task-state.ts';
import type { Sql } from '../store/database.ts';
import type { LockedTask } from '../store/lock-tasks.ts';
import { moveLockedTasks, type TaskMove } from '../store/move-tasks.ts';
import type { StoredError } from '../store/schema.ts';
import { selectWaitingTasks } from '../store/select-dependencies.ts';
import type { Wake } from './wake.ts';

/** A command for a task that is locked in this transaction. */
export interface TaskCommand {
  readonly task: LockedTask;
  readonly command: Command;
  readonly actor: string;
  /** Why it failed, for commands that fail an attempt. */
  readonly error?: StoredError;
  /** The worker's own wish for the wait before the next attempt. */
  readonly retryAfterMs?: number | undefined;
  readonly reason?: string | undefined;
  /** Whether it is its worker that says so, which has begun what it ends. */
  readonly byWorker?: boolean;
  /** For a cancel of a running task. */
  readonly graceMs?: number;
  /** For a redrive: how long it waits before it is due, and what takes the place of its input. */
  readonly delayMs?: number;
  readonly input?: Payload | undefined;
}

/** What a command did: the move, or undefined when the state did not allow it. */
export interface Applied {
  readonly task: LockedTask;
  readonly move: Move | undefined;
  readonly retryDelayMs: number | null;
  /** What the end of an attempt says of its type; left out when none has ended, or when it says nothing. */
  readonly verdict?: Verdict | undefined;
  /** Of the error that an attempt failed with. */
  readonly errorCode?: string | undefined;
}

/** Decides each command by the table of moves and carries the moves out; answers in order. */
export async function applyMoves(sql: Sql, commands: readonly TaskCommand[]): Promise<Applied[]> {
  const waiting = await waitingAmong(sql, commands);
  const applied = commands.map((command) => decideCommand(command, waiting.has(command.task.id)));
  const moves = applied.flatMap(({ move, retryDelayMs: delay }, index) => {
    const command = commands[index];
    return move === undefined || command === undefined ? [] : [taskMove(command, move, delay)];
  });
  const moved = await moveLockedTasks(sql, moves);
  if (moved.size !== moves.length) throw new Error('a task changed while it was locked');
  return applied;
}

/** Hints at what moves have changed: that there are events, that attempts or tasks ended, that tasks are due again. */
export function announceMoves(wake: Wake, applied: readonly Applied[]): void {
  const moved = applied.flatMap(({ task, move, verdict, retryDelayMs: delay }) =>
    move ? [{ task, move, verdict, delay }] : [],
  );
  if (moved.length > 0) wake.eventsWritten.give(undefined);
  for (const [ended, group] of Map.groupBy(moved, ({ move }) => isFinal(move.to))) {
    wake.tasksChanged.give({ ids: group.map(({ task }) => task.id), ended });
  }
  for (const { task, move, verdict, delay } of moved) {
    if (move.effect.lease === 'settle' || move.effect.lease === 'drop') {
      wake.attemptEnded.give({ namespace: task.namespace, type: task.type, taskId: task.id, verdict });
    }
    if (move.to === 'PENDING' && move.effect.mark !== 'pause') {
      wake.taskDue.give({ namespace: task.namespace, type: task.type, inMs: delay ?? 0 });
    }
  }
  // Of a failed task, those that were told to wait until it is mended.
  const isNews = moved.some(({ task, move }) => isFinal(move.to) && (task.hasDependents || task.state === 'FAILED'));
  if (isNews) wake.dependencyEnded.give(undefined);
  announceRoom(
    wake,
    moved.flatMap(({ task, move }) => (task.counted && move.from === 'RUNNING' && move.to !== 'RUNNING' ? task : [])),
  );
}

/** Hints that leases have ended that counted for the limits of these types. */
export function announceRoom(
  wake: Wake,
  types: readonly { readonly namespace: string; readonly type: string }[],
): void {
  for (const type of new Map(types.map((each) => [`${each.namespace}/${each.type}`, each])).values()) {
    wake.gateOpened.give(type);
  }
}

/** Of the tasks that begin anew, those that still wait for others. Asked once they are locked: it does not change then. */
async function waitingAmong(sql: Sql, commands: readonly TaskCommand[]): Promise<ReadonlySet<string>> {
  const ids = commands.flatMap(({ task, command }) => (command === 'redrive' && task.isDependent ? [task.id] : []));
  return ids.length === 0 ? new Set() : selectWaitingTasks(sql, ids);
}

function decideCommand(command: TaskCommand, waits: boolean): Applied {
  const { task, error } = command;
  const policy = policyOf(task);
  const retryable =
    error === undefined || (error.kind === 'TRANSIENT' && !policy.nonRetryableCodes.includes(error.code));
  const move = decide(task, command.command, { retryable, waits });
  const { nonRetryableCodes } = policy;
  return {
    task,
    move,
    errorCode: error?.code,
    retryDelayMs: move === undefined ? null : delayOf(command, move.effect),
    verdict: move && verdictOf({ event: move.effect.event, error: error ?? null, nonRetryableCodes }),
  };
}

/** How long it is until the task is due; null leaves that as it is. */
function delayOf(command: TaskCommand, effect: Effect): number | null {
  switch (effect.available) {
    case 'unchanged':
      return null;
    case 'on request':
      return command.delayMs ?? 0;
    case 'after backoff':
      return command.retryAfterMs ?? retryDelayMs(policyOf(command.task), command.task.attempt, Math.random());
  }
}

function policyOf(task: LockedTask): RetryPolicy {
  return task.retryPolicy ?? retryPolicyDefault;
}

function taskMove(command: TaskCommand, move: Move, delayMs: number | null): TaskMove {
  const { task } = command;
  const { renews, crash } = move.effect;
  return {
    id: task.id,
    eventSequence: task.eventSequence,
    state: move.to,
    attempt: task.attempt + move.effect.attempt,
    attemptsMax: renews ? task.attempt + policyOf(task).attemptsMax : task.attemptsMax,
    crashes: renews ? 0 : task.crashes + (crash ? 1 : 0),
    mark: move.effect.mark,
    renews,
    input: command.input ?? null,
    dropLease: move.effect.lease === 'drop',
    retryDelayMs: delayMs,
    error: command.error ?? null,
    errorFingerprint: command.error === undefined ? null : fingerprintOf(task.type, command.error),
    cancelGraceMs: move.effect.event === 'cancel_requested' ? (command.graceMs ?? 0) : null,
    starts: command.byWorker === true && !task.accepted,
    event: move.effect.event,
    actor: command.actor,
    reason: command.reason ?? null,
    leaseId: move.effect.lease === 'none' ? null : task.leaseId,
    sessionId: move.effect.lease === 'none' ? null : task.sessionId,
  };
}
