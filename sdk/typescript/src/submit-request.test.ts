import { expect, test } from 'vitest';
import { batches, submitRequest } from './submit-request.ts';

test('gives each submission a key of its own unless it has one', () => {
  const first = submitRequest('', { type: 'a' });
  const second = submitRequest('', { type: 'a' });
  expect(first.idempotencyKey).not.toBe('');
  expect(first.idempotencyKey).not.toBe(second.idempotencyKey);
  expect(submitRequest('', { type: 'a', idempotencyKey: 'mine' }).idempotencyKey).toBe('mine');
});

test('leaves out what is not set, as zero means something else', () => {
  const request = submitRequest('', { type: 'a' });
  expect(request.priority).toBeUndefined();
  expect(request.delay).toBeUndefined();
  expect(request.retryPolicy).toBeUndefined();
  expect(request.deadlines).toBeUndefined();
  expect(submitRequest('', { type: 'a', priority: 0 }).priority).toBe(0);
});

test('cuts batches at a thousand', () => {
  const submissions = Array.from({ length: 2_001 }, () => ({ type: 'a', input: 1 }));
  expect([...batches('', submissions)].map((batch) => batch.length)).toEqual([1_000, 1_000, 1]);
});

test('cuts batches before they outgrow a message, and keeps the order', () => {
  const input = { data: new Uint8Array(1_500_000), contentType: 'application/octet-stream' };
  const submissions = Array.from({ length: 5 }, (_, index) => ({ type: `t${index}`, input }));
  const cut = [...batches('', submissions)];
  expect(cut.map((batch) => batch.length)).toEqual([2, 2, 1]);
  expect(cut.flat().map(({ request }) => request.type)).toEqual(['t0', 't1', 't2', 't3', 't4']);
});

test('makes no batch of nothing', () => {
  expect([...batches('', [])]).toEqual([]);
});
