import { expect } from 'vitest';
import { controlCommands } from '../../../server/domain/control.ts';
import type { TaskFacts } from '../../../server/domain/decide.ts';
import type { Command, Move } from '../../../server/domain/lifecycle.ts';
import { retryPolicyDefault } from '../../../server/domain/limits.ts';
import { isFinal } from '../../../server/domain/task-state.ts';
import type { taskEvent } from '../../../server/store/event-schema.ts';
import type { task } from '../../../server/store/schema.ts';

export type TaskRow = typeof task.$inferSelect;
export type EventRow = typeof taskEvent.$inferSelect;

/** A task with its whole history. */
export interface Looked {
  readonly row: TaskRow;
  readonly events: readonly EventRow[];
}

/** What the table needs to know of a row. */
export function factsOf(row: TaskRow): TaskFacts {
  const { state, attempt, attemptsMax, crashes } = row;
  const cancelRequested = row.cancelDeadline !== null;
  return {
    state,
    attempt,
    attemptsMax,
    crashes,
    cancelRequested,
    accepted: row.startedTime !== null,
    paused: row.pausedTime !== null,
    discarded: row.discardedTime !== null,
  };
}

/** With which a worker ends an attempt. */
const reports: ReadonlySet<Command> = new Set(['succeed', 'fail', 'release', 'acknowledgeCancel'] as const);

/** Holds the row and its newest event against every part of a move's effect. */
export function expectMove(about: string, { before, after }: { before: Looked; after: Looked }, move: Move): void {
  const { effect } = move;
  const { row } = after;
  const event = after.events.at(-1);
  // A worker has begun what it ends.
  const isLateStart = reports.has(move.command) && before.row.startedTime === null;
  if (isLateStart) expect(after.events.at(-2), about).toMatchObject({ kind: 'started', leaseId: before.row.leaseId });
  expect(after.events.slice(0, isLateStart ? -2 : -1), about).toEqual(before.events);
  expect(
    {
      state: row.state,
      attempt: row.attempt - before.row.attempt,
      attemptsMax: row.attemptsMax,
      crashes: row.crashes,
      lease: leaseChange(before.row, row),
      isAvailableTimeKept: row.availableTime.getTime() === before.row.availableTime.getTime(),
      sequence: row.eventSequence - before.row.eventSequence,
      finished: row.finishedTime !== null,
      cancelRequested: row.cancelDeadline !== null,
      paused: row.pausedTime !== null,
      discarded: row.discardedTime !== null,
      input: Buffer.from(row.input).toString(),
      isTotalDeadlineKept: row.totalDeadline?.getTime() === before.row.totalDeadline?.getTime(),
    },
    about,
  ).toEqual({
    state: move.to,
    attempt: effect.attempt,
    attemptsMax: effect.renews ? before.row.attempt + retryPolicyDefault.attemptsMax : before.row.attemptsMax,
    crashes: effect.renews ? 0 : before.row.crashes + (effect.crash ? 1 : 0),
    lease: { none: 'same', take: 'new', keep: 'same', settle: 'same', drop: 'none' }[
      before.row.leaseId === null && effect.lease !== 'take' ? 'drop' : effect.lease
    ],
    isAvailableTimeKept: effect.available === 'unchanged',
    sequence: isLateStart ? 2 : 1,
    finished: isFinal(move.to),
    cancelRequested:
      move.to === 'RUNNING' && (before.row.cancelDeadline !== null || effect.event === 'cancel_requested'),
    paused:
      !isFinal(move.to) && (effect.mark === 'pause' || (before.row.pausedTime !== null && effect.mark !== 'resume')),
    discarded: before.row.discardedTime !== null || effect.mark === 'discard',
    input: move.command === 'redrive' ? '2' : '1',
    isTotalDeadlineKept: !effect.renews,
  });
  expect(event, about).toMatchObject({
    ...{ kind: effect.event, state: move.to, sequence: row.eventSequence },
    attempt: Math.max(before.row.attempt, row.attempt),
    leaseId: effect.lease === 'none' ? null : (row.leaseId ?? before.row.leaseId),
    ...(controlCommands.some((command) => command === move.command) && { reason: 'asked for' }),
  });
  if (effect.available !== 'unchanged') {
    expect(Math.abs(Number(row.availableTime) - Number(event?.time) - Number(event?.retryDelayMs))).toBeLessThan(2);
  }
  if (move.to === 'PENDING') expect([row.startedTime, row.runDeadline], about).toEqual([null, null]);
}

function leaseChange(before: TaskRow, after: TaskRow): 'same' | 'new' | 'none' {
  if (after.leaseId === null) return 'none';
  return after.leaseId === before.leaseId && after.sessionId === before.sessionId ? 'same' : 'new';
}
