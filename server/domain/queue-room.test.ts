import { describe, expect, it } from 'vitest';
import { placesFor, type QueueRoom, roomGoodMs } from './queue-room.ts';

describe('a node is given', () => {
  it.each([
    ['what it has use for at once', { now: 60, before: 0 }, 1_000, 60],
    ['as many again as it used before', { now: 1, before: 10 }, 1_000, 20],
    ['a quarter of the room and no more for what may come', { now: 1, before: 10_000 }, 1_000, 250],
    ['one place when there are few and it has use for one', { now: 1, before: 10_000 }, 3, 1],
    ['all that are left to those who have use for them', { now: 60, before: 0 }, 20, 20],
    ['nothing of nothing', { now: 60, before: 60 }, 0, 0],
  ])('%s', (_, wanted, free, places) => {
    expect(placesFor(wanted, free)).toBe(places);
  });
});

describe('a count is good', () => {
  const room: QueueRoom = { free: 0, queueMax: 1_000, ageMs: 0, tookMs: 1 };

  it.each([
    ['for a second while the queue is not half full', { free: 501 }, 1_000],
    ['for a tenth of a second when it is', { free: 500 }, 100],
    ['for twenty times as long as it took', { tookMs: 20 }, 400],
    ['for a second at most', { tookMs: 900 }, 1_000],
  ])('%s', (_, changes, goodMs) => {
    expect(roomGoodMs({ ...room, ...changes })).toBe(goodMs);
  });
});
