import { type Command, decide, type Move } from '../domain/lifecycle.ts';
import { retryPolicyDefault } from '../domain/limits.ts';
import { retryDelayMs } from '../domain/retry.ts';
import { isFinal } from '../domain/task-state.ts';
import type { Sql } from '../store/database.ts';
import type { LockedTask } from '../store/lock-tasks.ts';
import { moveLockedTasks, type TaskMove } from '../store/move-tasks.ts';
import type { StoredError } from '../store/schema.ts';
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
  /** For a cancel of a running task. */
  readonly graceMs?: number;
}

/** What a command did: the move, or undefined when the state did not allow it. */
export interface Applied {
  readonly task: LockedTask;
  readonly move: Move | undefined;
  readonly retryDelayMs: number | null;
}

/** Decides each command by the table of moves and carries the moves out; answers in order. */
export async function applyMoves(sql: Sql, commands: readonly TaskCommand[]): Promise<Applied[]> {
  const applied = commands.map((command) => decideCommand(command));
  const moves = applied.flatMap(({ move, retryDelayMs: delay }, index) => {
    const command = commands[index];
    return move === undefined || command === undefined ? [] : [taskMove(command, move, delay)];
  });
  const moved = await moveLockedTasks(sql, moves);
  if (moved.size !== moves.length) throw new Error('a task changed while it was locked');
  return applied;
}

/** Hints at what moves have changed: that tasks ended or are due again. */
export function announceMoves(wake: Wake, applied: readonly Applied[]): void {
  const moved = applied.flatMap(({ task, move, retryDelayMs: delay }) => (move ? [{ task, to: move.to, delay }] : []));
  for (const [ended, group] of Map.groupBy(moved, ({ to }) => isFinal(to))) {
    wake.tasksChanged.give({ ids: group.map(({ task }) => task.id), ended });
  }
  for (const { task, to, delay } of moved) {
    if (to === 'PENDING') wake.taskDue.give({ namespace: task.namespace, type: task.type, inMs: delay ?? 0 });
  }
}

function decideCommand(command: TaskCommand): Applied {
  const { task, error } = command;
  const policy = task.retryPolicy ?? retryPolicyDefault;
  const retryable =
    error === undefined || (error.kind === 'TRANSIENT' && !policy.nonRetryableCodes.includes(error.code));
  const move = decide(task, command.command, { retryable });
  const delay =
    move?.effect.available === 'after backoff'
      ? (command.retryAfterMs ?? retryDelayMs(policy, task.attempt, Math.random()))
      : null;
  return { task, move, retryDelayMs: delay };
}

function taskMove(command: TaskCommand, move: Move, delayMs: number | null): TaskMove {
  const { task } = command;
  return {
    id: task.id,
    eventSequence: task.eventSequence,
    state: move.to,
    attempt: task.attempt + move.effect.attempt,
    crashes: task.crashes + (move.effect.crash ? 1 : 0),
    dropLease: move.effect.lease === 'drop',
    retryDelayMs: delayMs,
    error: command.error ?? null,
    cancelGraceMs: move.effect.event === 'cancel_requested' ? (command.graceMs ?? 0) : null,
    event: move.effect.event,
    actor: command.actor,
    reason: command.reason ?? null,
    leaseId: move.effect.lease === 'none' ? null : task.leaseId,
    sessionId: move.effect.lease === 'none' ? null : task.sessionId,
  };
}
