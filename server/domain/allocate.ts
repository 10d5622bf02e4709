/** A task that could be placed. */
export interface Candidate {
  readonly id: string;
  /** Namespace and type in one. */
  readonly queue: string;
  readonly priority: number;
  readonly availableMs: number;
  /** Of a queue whose tasks take turns: its place in that order, in which such a queue's candidates are given. */
  readonly turn?: number;
}

/** What one taker has room for. */
export interface Offer<Taker> {
  readonly taker: Taker;
  /** Leases it may still take, over all queues. */
  readonly total: number;
  /** Leases it may still take of single queues. */
  readonly byQueue: ReadonlyMap<string, number>;
}

export interface Placement<Taker> {
  readonly taskId: string;
  readonly taker: Taker;
}

/**
 * Places tasks in the one order of all dispatch: higher priority first, then the longest due; no task before those of its
 * queue that have an earlier turn. Those who could take a task take turns, so that work spreads.
 */
export function allocate<Taker>(candidates: readonly Candidate[], offers: readonly Offer<Taker>[]): Placement<Taker>[] {
  const ordered = inOrder(candidates);
  const totalLeft = offers.map((offer) => offer.total);
  const rings = new Map<string, Ring<Taker>>();
  offers.forEach((offer, index) => {
    for (const [queue, left] of offer.byQueue) {
      const ring = rings.get(queue) ?? { next: 0, places: [] };
      rings.set(queue, ring);
      ring.places.push({ index, taker: offer.taker, left });
    }
  });

  const placements: Placement<Taker>[] = [];
  for (const { id, queue } of ordered) {
    const place = takePlace(rings.get(queue), totalLeft);
    if (place !== undefined) placements.push({ taskId: id, taker: place.taker });
  }
  return placements;
}

/** A task that comes behind another one of its queue ranks no higher than that. */
function inOrder(candidates: readonly Candidate[]): readonly Candidate[] {
  const lowest = new Map<string, Candidate>();
  const ranked = candidates.map((candidate) => {
    if (candidate.turn === undefined) return { candidate, rank: candidate };
    const before = lowest.get(candidate.queue) ?? candidate;
    const rank = compare(candidate, before) < 0 ? before : candidate;
    lowest.set(candidate.queue, rank);
    return { candidate, rank };
  });
  return ranked.sort((a, b) => compare(a.rank, b.rank)).map(({ candidate }) => candidate);
}

function compare(a: Candidate, b: Candidate): number {
  return b.priority - a.priority || a.availableMs - b.availableMs;
}

interface Place<Taker> {
  readonly index: number;
  readonly taker: Taker;
  left: number;
}

/** Those who take one queue's tasks, in turn. */
interface Ring<Taker> {
  next: number;
  readonly places: Place<Taker>[];
}

function takePlace<Taker>(ring: Ring<Taker> | undefined, totalLeft: number[]): Place<Taker> | undefined {
  while (ring !== undefined && ring.places.length > 0) {
    ring.next %= ring.places.length;
    const place = ring.places[ring.next];
    if (place === undefined) return undefined;
    const total = totalLeft[place.index] ?? 0;
    if (place.left > 0 && total > 0) {
      place.left -= 1;
      totalLeft[place.index] = total - 1;
      ring.next += 1;
      return place;
    }
    ring.places.splice(ring.next, 1);
  }
  return undefined;
}
