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

export function toCursor(namespace: string, { position, sinceMs }: Cursor): string {
  const { order, subjectId, sequence, timeMs } = position;
  const parts = [order, subjectId, sequence, Math.floor(timeMs), ...(sinceMs === undefined ? [] : [sinceMs])];
  return toPageToken(listOf(namespace), parts.join('.'));
}

/** Throws PAGE_TOKEN_INVALID. */
export function cursorOf(namespace: string, text: string): Cursor {
  const [order = '', subjectId = '', sequence, timeMs, sinceMs] =
    positionOf(listOf(namespace), text, positions.stream, 'cursor')?.split('.') ?? [];
  // Its shape allows for numbers that the database has no room for.
  if (order === '' || BigInt(order) >= ordersMax || Number(sequence) > sequenceMax) {
    throw pageTokenInvalid('cursor', 'is not of this list');
  }
  return {
    position: { order, subjectId, sequence: Number(sequence), timeMs: Number(timeMs) },
    sinceMs: sinceMs === undefined ? undefined : Number(sinceMs),
  };
}

function listOf(namespace: string): readonly unknown[] {
  return ['stream', namespace];
}
