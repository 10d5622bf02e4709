import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import {
  AssignmentSchema,
  AssignmentsSchema,
  CancelsSchema,
  ReconciledSchema,
  ReconciliationVerdict,
  SettledSchema,
  SettlementOutcome,
} from '@dstc/contract/dstc/v1/worker_pb';
import { afterEach, expect, test } from 'vitest';
import { encodePayload } from '../payload.ts';
import { InterruptedError, PermanentError } from './handler-errors.ts';
import { Jobs } from './jobs.ts';
import { Outbox } from './outbox.ts';
import { receive } from './receive.ts';
import type { Handler } from './run-handler.ts';
import { Slots } from './slots.ts';

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

/** Jobs whose handlers the test ends by hand, by task number. */
function worker({ concurrency = 10, prefetch = 0, perType = new Map<string, number>([['a', concurrency]]) } = {}) {
  const outbox = new Outbox();
  const slots = new Slots({ concurrency, prefetch, perType });
  const running = new Map<
    unknown,
    { signal: AbortSignal; resolve: (output?: unknown) => void; reject: (e: unknown) => void }
  >();
  const handler: Handler = (input, { signal }) =>
    new Promise((resolve, reject) => running.set(input, { signal, resolve, reject }));
  const handlers = new Map(Array.from(perType.keys(), (type) => [type, handler] as const));
  const jobs = new Jobs({ handlers, slots, outbox, readDependencies: () => Promise.resolve([]) });
  stops.push(() => jobs.stop());
  const refused: string[] = [];
  const deps = { jobs, onRefused: (_: unknown, message: string) => refused.push(message) };
  return { jobs, outbox, slots, running, refused, deps };
}

const lease = (task: number) => ({ taskId: `task-${task}`, attempt: 1, leaseId: `lease-${task}` });

function assign({ jobs }: { jobs: Jobs }, tasks: readonly number[], { taskType = 'a', runMs = 60_000 } = {}): void {
  for (const task of tasks) {
    const runTimeout = durationFromMs(runMs);
    jobs.assign(create(AssignmentSchema, { lease: lease(task), taskType, input: encodePayload(task), runTimeout }));
  }
}

function sent(outbox: Outbox) {
  const messages = [];
  for (let next = outbox.take(1e6); next !== undefined; next = outbox.take(1e6)) messages.push(next.message);
  return messages;
}

const settled = (task: number, outcome: SettlementOutcome, message = '') =>
  ({ case: 'settled', value: create(SettledSchema, { items: [{ lease: lease(task), outcome, message }] }) }) as const;

/** What was assigned has begun, and what has ended is reported. */
async function turn(): Promise<void> {
  for (let turns = 0; turns < 3; turns += 1) await new Promise((resolve) => setImmediate(resolve));
}

test('accepts what arrives, and reports what became of it', async () => {
  const it = worker();
  assign(it, [1, 2]);
  expect(sent(it.outbox)).toMatchObject([{ case: 'accepted', value: { leases: [lease(1), lease(2)] } }]);
  await turn();
  it.running.get(1)?.resolve({ valid: true });
  it.running.get(2)?.reject(new PermanentError('BAD', 'no'));
  await turn();
  expect(sent(it.outbox)).toMatchObject([
    { case: 'succeeded', value: { items: [{ lease: lease(1), output: encodePayload({ valid: true }) }] } },
    { case: 'failed', value: { items: [{ lease: lease(2), error: { code: 'BAD' } }] } },
  ]);
});

test('goes on after an error with a code that is no text', async () => {
  const it = worker();
  assign(it, [1, 2]);
  await turn();
  sent(it.outbox);
  it.running.get(1)?.reject(new PermanentError(404 as never, 'not found'));
  it.running.get(2)?.resolve('fine');
  await turn();
  expect(sent(it.outbox)).toMatchObject([
    { case: 'succeeded', value: { items: [{ lease: lease(2) }] } },
    { case: 'failed', value: { items: [{ lease: lease(1), error: { code: '404', message: 'not found' } }] } },
  ]);
});

test('starts one handler for an assignment that comes twice', async () => {
  const it = worker({ concurrency: 2 });
  assign(it, [1, 1]);
  await turn();
  expect(it.slots.running).toBe(1);
});

test('starts handlers within the limits, of the type and in all', async () => {
  const it = worker({
    concurrency: 2,
    prefetch: 3,
    perType: new Map([
      ['a', 1],
      ['b', 2],
    ]),
  });
  assign(it, [1, 2]);
  assign(it, [3, 4], { taskType: 'b' });
  await turn();
  expect([...it.running.keys()]).toEqual([1, 3]);
  it.running.get(3)?.resolve();
  await turn();
  expect([...it.running.keys()]).toEqual([1, 3, 4]);
  it.running.get(1)?.resolve();
  await turn();
  expect([...it.running.keys()]).toEqual([1, 3, 4, 2]);
});

test('keeps a result until it is settled', async () => {
  const it = worker();
  assign(it, [1]);
  await turn();
  it.running.get(1)?.resolve();
  await turn();
  expect(it.jobs.leases()).toMatchObject([lease(1)]);
  receive(it.deps, settled(1, SettlementOutcome.RECORDED));
  expect(it.jobs.held).toBe(0);
});

test('says everything again that a resumed session keeps', async () => {
  const it = worker();
  assign(it, [1, 2, 3, 4]);
  await turn();
  it.running.get(1)?.resolve();
  it.running.get(3)?.resolve();
  await turn();
  sent(it.outbox);
  it.outbox.clear();
  const verdicts = [
    ReconciliationVerdict.KEEP,
    ReconciliationVerdict.KEEP,
    ReconciliationVerdict.ALREADY_FINISHED,
    ReconciliationVerdict.DROP,
  ];
  const items = verdicts.map((verdict, index) => ({ lease: lease(index + 1), verdict }));
  const signal = it.running.get(4)?.signal;
  receive(it.deps, { case: 'reconciled', value: create(ReconciledSchema, { items }) });
  expect(it.jobs.leases()).toMatchObject([lease(1), lease(2)]);
  expect(signal?.aborted).toBe(true);
  expect(sent(it.outbox)).toMatchObject([
    { case: 'demand', value: { credits: 9 } },
    { case: 'accepted', value: { leases: [lease(2)] } },
    { case: 'succeeded', value: { items: [{ lease: lease(1) }] } },
  ]);
});

test('stops a handler on cancel, and acknowledges once it has ended', async () => {
  const it = worker();
  assign(it, [1, 2]);
  await turn();
  const items = [{ lease: lease(1), reason: 'changed my mind', grace: durationFromMs(10_000) }, { lease: lease(2) }];
  receive(it.deps, { case: 'cancels', value: create(CancelsSchema, { items }) });
  const reason = it.running.get(1)?.signal.reason;
  expect(reason).toBeInstanceOf(InterruptedError);
  expect(reason).toMatchObject({ interruption: 'CANCELLED', message: 'changed my mind' });
  sent(it.outbox);
  it.running.get(1)?.reject(reason);
  it.running.get(2)?.resolve('finished anyway');
  await turn();
  expect(sent(it.outbox)).toMatchObject([
    { case: 'cancelAcknowledged', value: { leases: [lease(1)] } },
    { case: 'succeeded', value: { items: [{ lease: lease(2) }] } },
  ]);
});

test('acknowledges a cancel at once when no handler has begun', async () => {
  const it = worker({ concurrency: 1, prefetch: 1 });
  assign(it, [1, 2]);
  await turn();
  sent(it.outbox);
  receive(it.deps, { case: 'cancels', value: create(CancelsSchema, { items: [{ lease: lease(2) }] }) });
  expect(sent(it.outbox)).toMatchObject([{ case: 'cancelAcknowledged', value: { leases: [lease(2)] } }]);
});

test('wants less while a handler goes on without its lease, and the same again afterwards', async () => {
  const it = worker({ concurrency: 3 });
  assign(it, [1, 2]);
  await turn();
  sent(it.outbox);
  receive(it.deps, settled(1, SettlementOutcome.LEASE_LOST));
  expect(sent(it.outbox)).toMatchObject([
    { case: 'demand', value: { credits: 2, taskTypes: [{ taskType: 'a', slots: 2 }] } },
  ]);
  it.running.get(1)?.resolve('too late');
  await turn();
  expect(sent(it.outbox)).toMatchObject([
    { case: 'demand', value: { credits: 3, taskTypes: [{ taskType: 'a', slots: 3 }] } },
  ]);
  expect(it.jobs.leases()).toMatchObject([lease(2)]);
});

test('stops a handler whose time is over', async () => {
  const it = worker();
  assign(it, [1], { runMs: 60_000 });
  assign(it, [2], { runMs: 50 });
  await turn();
  const signal = it.running.get(2)?.signal;
  await new Promise((resolve) => signal?.addEventListener('abort', resolve));
  expect(signal?.reason).toMatchObject({ interruption: 'RUN_TIMEOUT' });
  expect(it.jobs.leases()).toMatchObject([lease(1)]);
});

test('fails a task whose result is refused, and gives up when that is refused too', async () => {
  const it = worker();
  assign(it, [1]);
  await turn();
  it.running.get(1)?.resolve('odd');
  await turn();
  sent(it.outbox);
  receive(it.deps, settled(1, SettlementOutcome.REFUSED, 'not like this'));
  expect(sent(it.outbox)).toMatchObject([
    {
      case: 'failed',
      value: { items: [{ lease: lease(1), error: { code: 'REPORT_REFUSED', message: 'not like this' } }] },
    },
  ]);
  receive(it.deps, settled(1, SettlementOutcome.REFUSED, 'nor like that'));
  expect(it.refused).toEqual(['nor like that']);
  expect(it.jobs.held).toBe(0);
});

test('gives back what has not begun when it drains, and what arrives after', async () => {
  const it = worker({ concurrency: 1, prefetch: 1 });
  assign(it, [1, 2]);
  await turn();
  sent(it.outbox);
  it.jobs.drain('the worker stops');
  assign(it, [3]);
  expect(sent(it.outbox)).toMatchObject([
    { case: 'draining' },
    { case: 'accepted', value: { leases: [lease(3)] } },
    { case: 'released', value: { leases: [lease(2), lease(3)] } },
  ]);
  expect(it.jobs.running).toBe(1);
});

test('gives back what still runs when the grace is over, and forgets what comes of it', async () => {
  const it = worker();
  assign(it, [1, 2]);
  await turn();
  it.jobs.drain('the worker stops');
  sent(it.outbox);
  it.jobs.interruptRunning('the worker stops');
  it.running.get(1)?.reject(it.running.get(1)?.signal.reason);
  await turn();
  it.jobs.releaseRunning('the worker stopped before its handler ended');
  const leases = sent(it.outbox).flatMap((message) => (message.case === 'released' ? message.value.leases : []));
  expect(leases).toMatchObject([lease(1), lease(2)]);
  it.running.get(2)?.resolve('late');
  await turn();
  expect(sent(it.outbox)).toEqual([]);
});

test('keeps results but stops handlers when the lease must have ended', async () => {
  const it = worker();
  assign(it, [1, 2]);
  await turn();
  it.running.get(1)?.resolve();
  await turn();
  it.jobs.loseUnfinished('out of reach');
  expect(it.jobs.leases()).toMatchObject([lease(1)]);
  expect(it.running.get(2)?.signal.reason).toMatchObject({ interruption: 'LEASE_LOST' });
});

test('fails a task whose input is not the JSON it says it is', async () => {
  const it = worker();
  const input = { value: { case: 'data', value: Buffer.from('{') } } as const;
  receive(it.deps, {
    case: 'assignments',
    value: create(AssignmentsSchema, { items: [{ lease: lease(1), taskType: 'a', input }] }),
  });
  await turn();
  expect(sent(it.outbox)).toMatchObject([
    { case: 'accepted' },
    { case: 'failed', value: { items: [{ error: { code: 'INPUT_INVALID' } }] } },
  ]);
});
