import type { EventPosition } from '../../domain/event-position.ts';
import { pageTokenInvalid, positionOf, positions, toPageToken } from './page-token.ts';

/** Where a subscription goes on, on any node. */
export interface Cursor {
  readonly position: EventPosition;
  /** What happened before is left out, as the subscription that the cursor is of began with a time; undefined: nothing is. */
  readonly sinceMs: number | undefined;
}

const ordersMax = 2n ** 64n;
const sequenceMax = 2 ** 31 - 1;

/** What a cursor is of: the events of a namespace in one installation. Another one has an order of its own. */
export interface Stream {
  readonly cell: string;
  readonly namespace: string;
}

export function toCursor(stream: Stream, { position, sinceMs }: Cursor): string {
  const { order, subjectId, sequence, timeMs } = position;
  const parts = [order, subjectId, sequence, Math.floor(timeMs), ...(sinceMs === undefined ? [] : [sinceMs])];
  return toPageToken(listOf(stream), parts.join('.'));
}

/** Throws PAGE_TOKEN_INVALID. */
export function cursorOf(stream: Stream, text: string): Cursor {
  const [order = '', subjectId = '', sequence, timeMs, sinceMs] =
    positionOf(listOf(stream), text, positions.stream, 'cursor')?.split('.') ?? [];
  // Its shape allows for numbers that the database has no room for.
  if (order === '' || BigInt(order) >= ordersMax || Number(sequence) > sequenceMax) {
    throw pageTokenInvalid('cursor', 'is not of this list');
  }
  return {
    position: { order, subjectId, sequence: Number(sequence), timeMs: Number(timeMs) },
    sinceMs: sinceMs === undefined ? undefined : Number(sinceMs),
  };
}

function listOf({ cell, namespace }: Stream): readonly unknown[] {
  return ['stream', cell, namespace];
}
