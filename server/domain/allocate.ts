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

/** What one session has room for. */
export interface Offer {
  readonly sessionId: string;
  /** Leases it may still take, over all queues. */
  readonly total: number;
  /** Leases it may still take of single queues. */
  readonly byQueue: ReadonlyMap<string, number>;
}

export interface Placement {
  readonly taskId: string;
  readonly sessionId: string;
}

/**
 * Places tasks in the one order of all dispatch: higher priority first, then the longest due; no task before those of its
 * queue that have an earlier turn. The sessions that could take a task take turns, so that work spreads.
 */
export function allocate(candidates: readonly Candidate[], offers: readonly Offer[]): Placement[] {
  const ordered = inOrder(candidates);
  const totalLeft = offers.map((offer) => offer.total);
  const rings = new Map<string, Ring>();
  offers.forEach((offer, index) => {
    for (const [queue, left] of offer.byQueue) {
      const ring = rings.get(queue) ?? { next: 0, places: [] };
      rings.set(queue, ring);
      ring.places.push({ index, sessionId: offer.sessionId, left });
    }
  });

  const placements: Placement[] = [];
  for (const { id, queue } of ordered) {
    const sessionId = takePlace(rings.get(queue), totalLeft);
    if (sessionId !== undefined) placements.push({ taskId: id, sessionId });
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

/** The sessions that take one queue's tasks, in turn. */
interface Ring {
  next: number;
  readonly places: { readonly index: number; readonly sessionId: string; left: number }[];
}

function takePlace(ring: Ring | undefined, totalLeft: number[]): string | undefined {
  while (ring !== undefined && ring.places.length > 0) {
    ring.next %= ring.places.length;
    const place = ring.places[ring.next];
    if (place === undefined) return undefined;
    const total = totalLeft[place.index] ?? 0;
    if (place.left > 0 && total > 0) {
      place.left -= 1;
      totalLeft[place.index] = total - 1;
      ring.next += 1;
      return place.sessionId;
    }
    ring.places.splice(ring.next, 1);
  }
  return undefined;
}
