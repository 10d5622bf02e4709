import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { ReconciliationVerdict, SettlementOutcome } from '@dstc/contract/dstc/v1/worker_pb';
import { type Credentials, DstcError, type TaskContext, Worker, type WorkerOptions } from '@dstc/sdk';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ScriptedCoordinator, type ScriptedStream, startScriptedCoordinator } from './scripted-coordinator.ts';

const closers: (() => unknown)[] = [];
let coordinator: ScriptedCoordinator;

beforeEach(async () => {
  coordinator = await startScriptedCoordinator();
});

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  coordinator.stop();
});

/** Tokens that are counted, so that a test sees which one was sent. */
function countedTokens(): Credentials {
  let count = 1;
  return {
    async token({ refused } = {}) {
      if (refused === `token-${count}`) count += 1;
      return `token-${count}`;
    },
  };
}

interface Run {
  readonly input: unknown;
  readonly context: TaskContext;
  readonly resolve: (output?: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** A worker whose handlers the test ends by hand. */
function startWorker(options: Partial<WorkerOptions> = {}) {
  const runs: Run[] = [];
  const waiting: ((run: Run) => void)[] = [];
  const errors: unknown[] = [];
  const worker = new Worker({
    address: coordinator.address,
    credentials: countedTokens(),
    onError: (error) => errors.push(error),
    ...options,
  }).handle('a', (input, context) => {
    return new Promise((resolve, reject) => {
      const run = { input, context, resolve, reject };
      const taker = waiting.shift();
      if (taker === undefined) runs.push(run);
      else taker(run);
    });
  });
  const started = worker.start();
  closers.push(() => worker.stop({ graceMs: 0 }));
  const nextRun = (): Promise<Run> => {
    const run = runs.shift();
    return run === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(run);
  };
  return { worker, started, errors, nextRun };
}

const leaseOf = (task: number) => ({ taskId: `task-${task}`, attempt: 1, leaseId: `lease-${task}` });

function assign(stream: ScriptedStream, ...tasks: number[]): void {
  const items = tasks.map((task) => ({
    lease: leaseOf(task),
    taskType: 'a',
    input: { value: { case: 'data', value: Buffer.from(String(task)) } } as const,
  }));
  stream.send({ case: 'assignments', value: { items } });
}

function settle(stream: ScriptedStream, ...tasks: number[]): void {
  const items = tasks.map((task) => ({ lease: leaseOf(task), outcome: SettlementOutcome.RECORDED }));
  stream.send({ case: 'settled', value: { items } });
}

const abortOf = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason), { once: true }));

test('says hello, accepts, reports and stops once all is settled', async () => {
  const { worker, started, nextRun } = startWorker({ concurrency: 7, prefetch: 2, name: 'w1', buildVersion: '9' });
  const stream = await coordinator.nextStream();
  const hello = (await stream.next('hello')).value;
  expect(hello).toMatchObject({ taskTypes: [{ taskType: 'a', slots: 9 }], slots: 9, buildVersion: '9' });
  expect(hello.labels).toMatchObject({ name: 'w1' });
  expect(hello.sdk).toMatchObject({ name: 'dstc-typescript' });
  expect(hello.resume).toBeUndefined();
  stream.welcome();
  await started;
  assign(stream, 1);
  expect((await stream.next('accepted')).value.leases).toMatchObject([leaseOf(1)]);
  (await nextRun()).resolve('done');
  expect((await stream.next('succeeded')).value.items).toMatchObject([{ lease: leaseOf(1) }]);
  const stopped = worker.stop();
  await stream.next('draining');
  settle(stream, 1);
  await stream.closed;
  await stopped;
});

test('answers pings', async () => {
  startWorker();
  const stream = await coordinator.nextStream();
  stream.welcome();
  stream.send({ case: 'ping', value: { nonce: 42n } });
  expect((await stream.next('pong')).value.nonce).toBe(42n);
});

test('resumes with what it holds when the stream is lost, and says results again', async () => {
  const { nextRun } = startWorker();
  const first = await coordinator.nextStream();
  first.welcome();
  assign(first, 1, 2, 3);
  const runs = [await nextRun(), await nextRun(), await nextRun()];
  runs[0]?.resolve('done');
  await first.next('succeeded');
  first.fail(status.UNAVAILABLE, 'NODE_DRAINING');

  const second = await coordinator.nextStream();
  const { resume } = (await second.next('hello')).value;
  expect(resume).toMatchObject({ sessionId: '01890000-0000-7000-8000-000000000001', resumeSecret: 'secret' });
  expect(resume?.held).toMatchObject([leaseOf(1), leaseOf(2), leaseOf(3)]);
  second.welcome();
  const dropped = abortOf(runs[2]?.context.signal ?? AbortSignal.abort());
  const items = [
    { lease: leaseOf(1), verdict: ReconciliationVerdict.KEEP },
    { lease: leaseOf(2), verdict: ReconciliationVerdict.KEEP },
    { lease: leaseOf(3), verdict: ReconciliationVerdict.DROP },
  ];
  second.send({ case: 'reconciled', value: { items } });
  expect((await second.next('succeeded')).value.items).toMatchObject([{ lease: leaseOf(1) }]);
  expect(await dropped).toMatchObject({ interruption: 'LEASE_LOST' });
  runs[1]?.resolve('done too');
  expect((await second.next('succeeded')).value.items).toMatchObject([{ lease: leaseOf(2) }]);
  settle(second, 1, 2);
});

test('begins anew when its session is not known any more', async () => {
  const { nextRun } = startWorker();
  const first = await coordinator.nextStream();
  first.welcome();
  assign(first, 1);
  const { context } = await nextRun();
  const lost = abortOf(context.signal);
  first.fail(status.UNAVAILABLE, 'NODE_DRAINING');
  const second = await coordinator.nextStream();
  expect((await second.next('hello')).value.resume).toBeDefined();
  second.fail(status.NOT_FOUND, 'SESSION_NOT_FOUND');
  expect(await lost).toMatchObject({ interruption: 'LEASE_LOST' });
  const third = await coordinator.nextStream();
  expect((await third.next('hello')).value.resume).toBeUndefined();
  third.welcome({ sessionId: '01890000-0000-7000-8000-000000000002' });
  // The first handler never ended: its place is taken.
  expect((await third.next('demand')).value).toMatchObject({ credits: 9 });
});

test('stops handlers when it was without a stream for longer than the lease', async () => {
  const { nextRun } = startWorker();
  const stream = await coordinator.nextStream();
  stream.welcome({ leaseDuration: durationFromMs(300) });
  assign(stream, 1);
  const { context } = await nextRun();
  const lost = abortOf(context.signal);
  coordinator.stop();
  expect(await lost).toMatchObject({ interruption: 'LEASE_LOST' });
});

test('leaves a coordinator that has fallen silent', async () => {
  const { errors } = startWorker();
  const first = await coordinator.nextStream();
  first.welcome({ heartbeatInterval: durationFromMs(100) });
  const second = await coordinator.nextStream();
  expect((await second.next('hello')).value.resume).toBeDefined();
  expect(errors[0]).toBeInstanceOf(DstcError);
  expect(errors[0]).toMatchObject({ reason: 'UNREACHABLE' });
  second.welcome();
});

test('comes back at once with another token when one was refused', async () => {
  const { errors } = startWorker();
  const first = await coordinator.nextStream();
  expect(first.token).toBe('token-1');
  first.fail(status.UNAUTHENTICATED, 'TOKEN_INVALID');
  const second = await coordinator.nextStream();
  expect(second.token).toBe('token-2');
  second.welcome();
  expect(errors).toMatchObject([{ reason: 'TOKEN_INVALID' }]);
});

test('sends a fresh token on the open stream when asked', async () => {
  startWorker();
  const stream = await coordinator.nextStream();
  stream.welcome();
  stream.send({ case: 'credentialsNeeded', value: { within: durationFromMs(10_000) } });
  expect((await stream.next('credentials')).value).toMatchObject({ accessToken: 'token-2' });
});

test('goes where a node that drains sends it, and resumes there', async () => {
  const other = await startScriptedCoordinator();
  closers.unshift(() => other.stop());
  const { nextRun, worker } = startWorker();
  const first = await coordinator.nextStream();
  first.welcome();
  assign(first, 1);
  const run = await nextRun();
  first.send({ case: 'drain', value: { within: durationFromMs(5_000), addresses: [other.address] } });
  const second = await other.nextStream();
  expect((await second.next('hello')).value.resume?.held).toMatchObject([leaseOf(1)]);
  second.welcome();
  second.send({
    case: 'reconciled',
    value: { items: [{ lease: leaseOf(1), verdict: ReconciliationVerdict.KEEP }] },
  });
  await second.next('accepted');
  run.resolve();
  await second.next('succeeded');
  settle(second, 1);
  const stopped = worker.stop();
  await second.closed;
  await stopped;
});

test('stays on a node that drains until its results are settled when there is no other', async () => {
  const { nextRun } = startWorker();
  const stream = await coordinator.nextStream();
  stream.welcome();
  assign(stream, 1);
  stream.send({ case: 'drain', value: { within: durationFromMs(5_000) } });
  (await nextRun()).resolve();
  expect((await stream.next('succeeded')).value.items).toMatchObject([{ lease: leaseOf(1) }]);
  settle(stream, 1);
  const second = await coordinator.nextStream();
  expect((await second.next('hello')).value.resume?.held).toEqual([]);
  second.welcome();
});

test('tells handlers to stop when the grace is over, and gives their tasks back', async () => {
  const { worker, nextRun } = startWorker();
  const stream = await coordinator.nextStream();
  stream.welcome();
  assign(stream, 1, 2);
  const [obedient, stubborn] = [await nextRun(), await nextRun()];
  obedient.context.signal.addEventListener('abort', () => obedient.reject(obedient.context.signal.reason));
  const told = abortOf(stubborn.context.signal);
  const stopped = worker.stop({ graceMs: 10 });
  expect(await told).toMatchObject({ interruption: 'SHUTDOWN' });
  expect((await stream.next('released')).value.leases).toMatchObject([leaseOf(1)]);
  expect((await stream.next('released')).value.leases).toMatchObject([leaseOf(2)]);
  settle(stream, 1, 2);
  await stream.closed;
  await stopped;
});

test('stops while no coordinator can be reached', async () => {
  const { worker, started } = startWorker({ address: '127.0.0.1:1' });
  await worker.stop();
  await started;
});

test('sends progress and its checkpoint, and gives the next attempt its checkpoint', async () => {
  const { nextRun } = startWorker();
  const stream = await coordinator.nextStream();
  stream.welcome();
  const lease = leaseOf(1);
  const checkpoint = Buffer.from('{"line":7}');
  stream.send({ case: 'assignments', value: { items: [{ lease, taskType: 'a', checkpoint, attemptsMax: 5 }] } });
  const { context } = await nextRun();
  expect(context.checkpoint()).toEqual({ line: 7 });
  expect(context.task).toMatchObject({ id: 'task-1', type: 'a', attempt: 1, attemptsMax: 5 });
  // What is no number would be NaN on the wire, over which the coordinator would end the stream.
  expect(() => context.progress({ percent: 'half' as never })).toThrow(RangeError);
  context.progress({ percent: 10, checkpoint: { line: 8 } });
  context.progress({ percent: 250, message: 'nearly' });
  const { items } = (await stream.next('progress')).value;
  expect(items).toMatchObject([{ lease, progress: { percent: 100, message: 'nearly' } }]);
  expect(Buffer.from(items[0]?.progress?.checkpoint ?? []).toString()).toBe('{"line":8}');
  settle(stream, 1);
});

test('takes in and reports a burst in few messages', async () => {
  const worker = new Worker({ address: coordinator.address, credentials: countedTokens(), concurrency: 256 });
  worker.handle('a', (input) => input);
  closers.push(() => worker.stop({ graceMs: 0 }));
  void worker.start();
  const stream = await coordinator.nextStream();
  stream.welcome();
  const tasks = Array.from({ length: 256 }, (_, index) => index);
  assign(stream, ...tasks);
  expect((await stream.next('accepted')).value.leases).toHaveLength(256);
  let reported = 0;
  let messages = 0;
  for (; reported < 256; messages += 1) reported += (await stream.next('succeeded')).value.items.length;
  expect(messages).toBeLessThan(10);
  settle(stream, ...tasks);
});

test('accepts all before the first handler begins, and answers pings between handlers that block', async () => {
  const worker = new Worker({ address: coordinator.address, credentials: countedTokens(), concurrency: 6 });
  const seen: string[] = [];
  const done = Promise.withResolvers<void>();
  worker.handle('a', (input) => {
    seen.push(`begins ${input}`);
    for (const endMs = performance.now() + 60; performance.now() < endMs; );
    if (input === 6) done.resolve();
  });
  closers.push(() => worker.stop({ graceMs: 0 }));
  void worker.start();
  const stream = await coordinator.nextStream();
  stream.welcome();
  const accepted = stream.next('accepted').then(async () => {
    seen.push('accepted');
    stream.send({ case: 'ping', value: { nonce: 7n } });
    await stream.next('pong');
    seen.push('pong');
  });
  assign(stream, 1, 2, 3, 4, 5, 6);
  await Promise.all([accepted, done.promise]);
  // This coordinator lives on the thread that the handlers block: it reads a moment after the worker has written.
  expect(seen.indexOf('accepted')).toBeLessThan(seen.indexOf('begins 2'));
  expect(seen.indexOf('pong')).toBeLessThan(seen.indexOf('begins 6'));
  settle(stream, 1, 2, 3, 4, 5, 6);
});
