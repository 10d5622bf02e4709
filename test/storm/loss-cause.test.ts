import { expect, test } from 'vitest';
import { causeOfLoss, certain } from './loss-cause.ts';
import { createRecord } from './record.ts';

interface Case {
  readonly what: string;
  readonly faults?: readonly (readonly [kind: string, target: string])[];
  /** For how long each was starved in the ten seconds before. */
  readonly starved?: Readonly<Record<string, number>>;
  readonly cause: string;
}

const busy = 'a machine that had no time';
const atMs = 100_000;

/** A worker has been with node-1 for long, and loses an attempt some seconds after what happened. */
test.each<Case>([
  { what: 'nothing happened', cause: certain },
  { what: 'it was killed', faults: [['kill a worker', 'worker-1']], cause: 'their worker' },
  { what: 'another worker was killed', faults: [['kill a worker', 'worker-2']], cause: certain },
  { what: 'its coordinator was killed', faults: [['kill a coordinator', 'node-1']], cause: certain },
  { what: 'its coordinator was paused', faults: [['pause a coordinator', 'node-1']], cause: 'pause a coordinator' },
  { what: 'another coordinator was paused', faults: [['pause a coordinator', 'node-2']], cause: certain },
  { what: 'its way was blocked', faults: [['block the clients', 'clients to node-1']], cause: 'block the clients' },
  { what: 'the way of others was blocked', faults: [['block the clients', 'clients to node-2']], cause: certain },
  { what: 'Postgres crashed', faults: [['crash Postgres', 'Postgres']], cause: 'crash Postgres' },
  {
    what: 'it had to go where the way was blocked',
    faults: [
      ['kill a coordinator', 'node-1'],
      ['block the clients', 'clients to node-2'],
    ],
    cause: 'block the clients',
  },
  { what: 'it was starved', starved: { 'worker-1': 3_000 }, cause: busy },
  { what: 'its coordinator and Postgres were', starved: { 'node-1': 1_500, Postgres: 1_500 }, cause: busy },
  { what: 'it was for a moment', starved: { 'worker-1': 1_000 }, cause: certain },
  { what: 'another coordinator was starved', starved: { 'node-2': 9_000 }, cause: certain },
])('puts a lost attempt down to the right thing when $what', ({ faults = [], starved = {}, cause }) => {
  const record = createRecord();
  for (const place of [1, 2]) record.nodes.push({ name: `node-${place}`, address: `address ${place}` });
  for (const place of [1, 2]) {
    const entry = { worker: `worker-${place}`, sessionId: `session ${place}`, address: `address ${place}` };
    record.sessions.push({ ...entry, atMs: 1_000 });
  }
  for (const [kind, target] of faults) {
    record.faults.push({ kind, target, fromMs: atMs - 8_000, healMs: atMs - 7_000, toMs: atMs - 7_000 });
  }
  for (const [name, ms] of Object.entries(starved)) {
    record.stalls.push({ name, atMs: atMs - 1_000, ms, spanMs: 9_500 });
  }
  expect(causeOfLoss(record, 'worker-1', atMs)).toBe(cause);
});
