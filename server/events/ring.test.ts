import { expect, test } from 'vitest';
import { positionBefore } from '../domain/event-position.ts';
import type { StoredEvent } from '../store/select-events.ts';
import type { StreamPage } from '../store/select-stream.ts';
import { bytesOf } from './event-size.ts';
import { createRing, type Ring } from './ring.ts';

const horizon = { final: 0n, end: 0n };
const at = (order: number) => positionBefore(String(order), 0);

function event(order: number, reason = ''): StoredEvent {
  const position = { order: String(order), subjectId: '01890a5d-ac96-774b-bcce-b302099a8057', sequence: 1, timeMs: 0 };
  return {
    ...{ of: 'task', position, namespace: 'default', actor: 'test', type: 'a', kind: 'submitted', state: 'PENDING' },
    ...{ attempt: 0, leaseId: null, sessionId: null, error: null, reason, retryDelayMs: null, labels: {} },
    traceParent: null,
  };
}

function page(orders: readonly number[], next: number, reason?: string): StreamPage {
  return { events: orders.map((order) => event(order, reason)), next: at(next), isWhole: true, horizon };
}

function ordersAfter(ring: Ring, order: number, eventsMax = 100): string[] | undefined {
  return ring.after(at(order), eventsMax)?.events.map(({ position }) => position.order);
}

test('has everything after where it began, and nothing to say of what came before', () => {
  const ring = createRing({ eventsMax: 10, bytesMax: 1e6 }, at(5), horizon);
  ring.add(page([5, 7, 9], 12));
  expect(ring.after(at(4), 100)).toBeUndefined();
  expect(ordersAfter(ring, 5)).toEqual(['5', '7', '9']);
  expect(ordersAfter(ring, 8)).toEqual(['9']);
  expect(ring.after(at(10), 100)).toMatchObject({ events: [], next: at(12), isWhole: true });
});

test('hands out what was asked for, and where to go on', () => {
  const ring = createRing({ eventsMax: 10, bytesMax: 1e6 }, at(0), horizon);
  ring.add(page([1, 2, 3], 4));
  const first = ring.after(at(0), 2);
  expect(first).toMatchObject({ isWhole: false, next: { order: '2', sequence: 1 } });
  expect(ring.after(first?.next ?? at(0), 2)).toMatchObject({ events: [event(3)], isWhole: true, next: at(4) });
});

test('leaves a position where it is that is ahead of what was read', () => {
  const ring = createRing({ eventsMax: 10, bytesMax: 1e6 }, at(0), horizon);
  expect(ring.after(at(100), 2)).toMatchObject({ events: [], next: at(100), isWhole: true });
});

test('drops the oldest when there are too many, and does not pretend to have them', () => {
  const ring = createRing({ eventsMax: 3, bytesMax: 1e6 }, at(0), horizon);
  ring.add(page([1, 2], 3));
  ring.add(page([3, 4, 5], 6));
  expect(ring.after(at(0), 100)).toBeUndefined();
  expect(ring.after(at(2), 100)).toBeUndefined();
  expect(ring.after(event(2).position, 100)?.events).toHaveLength(3);
});

test('drops the oldest when they take too much memory, also all of them', () => {
  const reason = 'x'.repeat(10_000);
  const ring = createRing({ eventsMax: 100, bytesMax: 2 * bytesOf(event(1, reason)) }, at(0), horizon);
  ring.add(page([1, 2, 3], 4, reason));
  expect(ring.after(event(1).position, 100)?.events).toHaveLength(2);
  ring.add(page([5], 6, reason.repeat(10)));
  expect(ring.after(event(3).position, 100)).toBeUndefined();
  expect(ring.after(event(5).position, 100)).toMatchObject({ events: [], next: at(6) });
});
