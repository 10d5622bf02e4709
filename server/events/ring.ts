import { comparePositions, type EventPosition } from '../domain/event-position.ts';
import type { StoredEvent } from '../store/select-events.ts';
import type { Horizon, StreamPage } from '../store/select-stream.ts';
import { bytesOf } from './event-size.ts';

export interface RingLimits {
  readonly eventsMax: number;
  readonly bytesMax: number;
}

/** The last events of the stream, as many as its limits allow. */
export interface Ring {
  /** Everything up to here has been read. */
  readonly head: () => EventPosition;
  readonly add: (page: StreamPage) => void;
  /**
   * At most `eventsMax` events after a position; undefined when some of them may have been dropped. A position ahead of the
   * head stays where it is.
   */
  readonly after: (position: EventPosition, eventsMax: number) => StreamPage | undefined;
}

/** An empty one that begins at a position. */
export function createRing(limits: RingLimits, start: EventPosition, first: Horizon): Ring {
  let events: StoredEvent[] = [];
  let bytes = 0;
  /** Everything between here and the head is in `events`. */
  let floor = start;
  let head = start;
  let horizon = first;

  function trim(): void {
    let dropped = 0;
    while (events.length - dropped > limits.eventsMax || bytes > limits.bytesMax) {
      const event = events[dropped];
      if (event === undefined) break;
      bytes -= bytesOf(event);
      floor = event.position;
      dropped += 1;
    }
    if (dropped > 0) events = events.slice(dropped);
  }

  /** The index of the first event after a position. */
  function indexAfter(position: EventPosition): number {
    let [low, high] = [0, events.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const at = events[middle]?.position;
      if (at !== undefined && comparePositions(at, position) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  return {
    head: () => head,
    add(page) {
      for (const event of page.events) {
        events.push(event);
        bytes += bytesOf(event);
      }
      head = page.next;
      horizon = page.horizon;
      trim();
    },
    after(position, eventsMax) {
      if (comparePositions(position, floor) < 0) return undefined;
      const from = indexAfter(position);
      const found = events.slice(from, from + eventsMax);
      const isWhole = from + found.length === events.length;
      const last = found.at(-1)?.position ?? position;
      const next = isWhole && comparePositions(last, head) < 0 ? head : last;
      return { events: found, next, isWhole, horizon };
    },
  };
}
