/** A place in the stream of all events; everything before it has been read. */
export interface EventPosition {
  /** The stream order, in decimal digits: a 64-bit number. */
  readonly order: string;
  /** The task, or what else it is about, as a UUID. */
  readonly subjectId: string;
  readonly sequence: number;
  /** When the event at this place happened; what comes after it did not happen much earlier. */
  readonly timeMs: number;
}

/** Events are shared out by their subject among readers that work side by side: each shard is in order. */
export const eventShards = 8;

/** By the last three bits of the id, as the indexes have it. */
export function shardOf(subjectId: string): number {
  return Number.parseInt(subjectId.slice(-1), 16) % eventShards;
}

const nil = '00000000-0000-0000-0000-000000000000';

/** Before every event whose stream order is `order` or higher, and that did not happen long before `timeMs`. */
export function positionBefore(order: string, timeMs: number): EventPosition {
  return { order, subjectId: nil, sequence: 0, timeMs };
}

/** Below 0 when `one` comes first. */
export function comparePositions(one: EventPosition, other: EventPosition): number {
  const [a, b] = [BigInt(one.order), BigInt(other.order)];
  if (a !== b) return a < b ? -1 : 1;
  if (one.subjectId !== other.subjectId) return one.subjectId < other.subjectId ? -1 : 1;
  return one.sequence - other.sequence;
}
