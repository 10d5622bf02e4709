/** What is known of a queue with a limit since it was counted last. */
export interface QueueRoom {
  /** Places that nobody waits in and that no node has been given. */
  readonly free: number;
  /** The limit that this was reckoned with. */
  readonly queueMax: number;
  /** How long ago the count was, and how long it took. */
  readonly ageMs: number;
  readonly tookMs: number;
}

/** What a node has use for. */
export interface PlacesWanted {
  /** By those who wait for a place now. */
  readonly now: number;
  /** By those who had the places that it was given last. */
  readonly before: number;
}

/** How long a count is good for. */
const goodForMs = { whileHalfEmpty: 1_000, min: 100, max: 1_000 };
/** Counting a nearly full queue may take this part of the time, so that a long one is counted less often. */
const countingShare = 1 / 20;
/** No node is given a larger part of the room than this for what may come. */
const spareShare = 1 / 4;

/** A count of a queue with much room is good for long; where every place counts, for as short as counting allows. */
export function roomGoodMs({ free, queueMax, tookMs }: QueueRoom): number {
  if (2 * free > queueMax) return goodForMs.whileHalfEmpty;
  return Math.min(goodForMs.max, Math.max(goodForMs.min, tookMs / countingShare));
}

/**
 * How many of the free places a node is given: what it has use for at once, and for what may come as many again as it used
 * before, but less and less the fewer there are: the last places go to whoever has use for them.
 */
export function placesFor({ now, before }: PlacesWanted, free: number): number {
  return Math.min(free, Math.max(now, Math.min(2 * before, Math.floor(free * spareShare))));
}
