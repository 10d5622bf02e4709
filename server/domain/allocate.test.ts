import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allocate, type Candidate, type Offer } from './allocate.ts';

const seed = process.env.TEST_SEED === undefined ? {} : { seed: Number(process.env.TEST_SEED) };
const queues = ['a', 'b', 'c'];

const candidateLists = fc
  .array(
    fc.record({
      queue: fc.constantFrom(...queues),
      priority: fc.integer({ min: 0, max: 9 }),
      availableMs: fc.integer({ min: 0, max: 20 }),
    }),
    { maxLength: 40 },
  )
  .map((list): Candidate[] => list.map((candidate, index) => ({ ...candidate, id: `task ${index}` })));

const offerLists = fc
  .array(
    fc.record({
      total: fc.integer({ min: 0, max: 6 }),
      byQueue: fc.dictionary(fc.constantFrom(...queues), fc.integer({ min: 0, max: 6 })),
    }),
    { maxLength: 6 },
  )
  .map((list): Offer<string>[] =>
    list.map(({ total, byQueue }, index) => ({
      taker: `s${index}`,
      total,
      byQueue: new Map(Object.entries(byQueue)),
    })),
  );

/** The rule without any cleverness: in order, each task goes to some session that has room for it, if there is one. */
function isPlaceable(
  candidate: Candidate,
  offers: readonly Offer<string>[],
  taken: (offer: Offer<string>, queue?: string) => number,
) {
  return offers.some(
    (offer) => taken(offer) < offer.total && taken(offer, candidate.queue) < (offer.byQueue.get(candidate.queue) ?? 0),
  );
}

describe('placing tasks', () => {
  test('goes by priority, then by how long they are due', () => {
    const due = (id: string, priority: number, availableMs: number) => ({ id, queue: 'a', priority, availableMs });
    const offer = { taker: 's', total: 9, byQueue: new Map([['a', 3]]) };
    const placed = allocate([due('late', 4, 9), due('low', 0, 1), due('early', 4, 2), due('high', 9, 50)], [offer]);
    expect(placed.map(({ taskId }) => taskId)).toEqual(['high', 'early', 'late']);
  });

  test('lets the sessions take turns', () => {
    const candidates = Array.from({ length: 6 }, (_, n) => ({ id: `${n}`, queue: 'a', priority: 4, availableMs: n }));
    const offers = ['x', 'y', 'z'].map((taker) => ({ taker, total: 6, byQueue: new Map([['a', 6]]) }));
    expect(allocate(candidates, offers).map(({ taker }) => taker)).toEqual(['x', 'y', 'z', 'x', 'y', 'z']);
  });

  test('places for every demand what the plain rule places: in order, within every bound, leaving nothing that fits', () => {
    fc.assert(
      fc.property(candidateLists, offerLists, (candidates, offers) => {
        const byTask = new Map(allocate(candidates, offers).map((placement) => [placement.taskId, placement.taker]));
        const placed: { taker: string; queue: string }[] = [];
        const taken = ({ taker }: Offer<string>, queue?: string) =>
          placed.filter((one) => one.taker === taker && (queue === undefined || one.queue === queue)).length;
        const ordered = candidates.toSorted((a, b) => b.priority - a.priority || a.availableMs - b.availableMs);
        for (const candidate of ordered) {
          const taker = byTask.get(candidate.id);
          // A session's total is one bound over all its queues, so that who takes a task decides about later ones: the
          // model follows the choice, and only asks whether there was one.
          expect(taker !== undefined).toBe(isPlaceable(candidate, offers, taken));
          if (taker === undefined) continue;
          placed.push({ taker, queue: candidate.queue });
          const offer = offers.find((one) => one.taker === taker);
          if (offer === undefined) throw new Error(`placed with ${taker}, which offers nothing`);
          expect(taken(offer)).toBeLessThanOrEqual(offer.total);
          expect(taken(offer, candidate.queue)).toBeLessThanOrEqual(offer.byQueue.get(candidate.queue) ?? 0);
        }
        expect(placed.length).toBe(byTask.size);
      }),
      seed,
    );
  });
});
