import {
  type Client,
  createClient,
  RetryableError,
  type TaskContext,
  Worker,
  type WorkerDrain,
  type WorkerOptions,
} from '@dstc/sdk';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startTestCoordinator, type TestCoordinator } from '../setup/coordinator.ts';

let coordinator: TestCoordinator;
let client: Client;
const workers: Worker[] = [];

beforeAll(async () => {
  coordinator = await startTestCoordinator();
  client = createClient({ address: coordinator.grpcAddress, credentials: coordinator.credentials('operator') });
  for (const name of ['echo', 'slow']) await client.types.apply({ name, retry: { initialDelayMs: 10 } });
});

afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.stop({ graceMs: 0 })));
});

afterAll(async () => {
  client.close();
  await coordinator.stop();
});

function createWorker(options: Partial<WorkerOptions> = {}): Worker {
  const worker = new Worker({
    address: coordinator.grpcAddress,
    credentials: coordinator.credentials('worker'),
    ...options,
  });
  workers.push(worker);
  return worker;
}

/** A handler that the test ends by hand. */
function heldHandler() {
  const started = Promise.withResolvers<TaskContext>();
  const end = Promise.withResolvers<unknown>();
  const handler = (_: unknown, context: TaskContext): Promise<unknown> => {
    started.resolve(context);
    return end.promise;
  };
  return { handler, started: started.promise, resolve: end.resolve, reject: end.reject };
}

const aborted = ({ signal }: TaskContext): Promise<unknown> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason), { once: true }));

test('does a thousand tasks, each once', async () => {
  const runs = new Map<unknown, number>();
  await createWorker({ concurrency: 256 })
    .handle('echo', (input) => {
      runs.set(input, (runs.get(input) ?? 0) + 1);
      return input;
    })
    .start();
  const results = await client.submitMany(Array.from({ length: 1_000 }, (_, input) => ({ type: 'echo', input })));
  const handles = results.flatMap((result) => (result.ok ? [result.handle] : []));
  const outputs = await Promise.all(handles.map((handle) => handle.result({ timeoutMs: 15_000 })));
  expect(outputs).toEqual(Array.from({ length: 1_000 }, (_, index) => index));
  expect(runs.size).toBe(1_000);
  expect([...runs.values()].every((count) => count === 1)).toBe(true);
});

test('does each task once although every handler computes for a while and blocks', async () => {
  const runs: unknown[] = [];
  await createWorker({ concurrency: 10 })
    .handle('echo', (input) => {
      runs.push(input);
      for (const endMs = performance.now() + 400; performance.now() < endMs; );
      return input;
    })
    .start();
  const results = await client.submitMany(Array.from({ length: 20 }, (_, input) => ({ type: 'echo', input })));
  const handles = results.flatMap((result) => (result.ok ? [result.handle] : []));
  const outputs = await Promise.all(handles.map((handle) => handle.result({ timeoutMs: 30_000 })));
  expect(outputs).toHaveLength(20);
  expect(runs).toHaveLength(20);
});

test('tries again what may help, with what the attempt before left behind', async () => {
  await createWorker()
    .handle('echo', (_, context) => {
      if (context.task.attempt === 1) throw new RetryableError('BUSY', 'later', { retryAfterMs: 1 });
      return context.task.attempt;
    })
    .start();
  const handle = await client.submit('echo');
  expect(await handle.result({ timeoutMs: 10_000 })).toBe(2);
  const kinds = (await client.history(handle.id)).map(({ kind }) => kind);
  expect(kinds.filter((kind) => kind !== 'STARTED')).toEqual([
    'SUBMITTED',
    'LEASED',
    'RETRY_SCHEDULED',
    'LEASED',
    'SUCCEEDED',
  ]);
});

test('fails the one task whose output has no media type, and goes on with the others', async () => {
  await createWorker()
    .handle('echo', (input) => (input === 'bad' ? { data: Buffer.from('x'), contentType: 'text' } : input))
    .start();
  const bad = await client.submit('echo', 'bad');
  const good = await client.submit('echo', 'good');
  expect(await client.awaitEnd(bad.id, { timeoutMs: 10_000 })).toMatchObject({
    state: 'FAILED',
    error: { code: 'OUTPUT_INVALID' },
  });
  expect(await good.result({ timeoutMs: 10_000 })).toBe('good');
});

test('tells how far it is', async () => {
  const held = heldHandler();
  await createWorker().handle('slow', held.handler).start();
  const handle = await client.submit('slow');
  (await held.started).progress({ percent: 40, message: 'on the way' });
  for await (const task of handle.watch()) {
    if (task.progress === undefined) continue;
    expect(task.progress).toEqual({ percent: 40, message: 'on the way' });
    held.resolve('there');
  }
  expect(await handle.result()).toBe('there');
});

test('stops a handler when its task is cancelled', async () => {
  const held = heldHandler();
  await createWorker().handle('slow', held.handler).start();
  const handle = await client.submit('slow');
  const context = await held.started;
  const reason = aborted(context);
  expect(await handle.cancel('changed my mind')).toMatchObject({ state: 'RUNNING', cancelRequested: true });
  expect(await reason).toMatchObject({ interruption: 'CANCELLED', message: 'changed my mind' });
  held.reject(context.signal.reason);
  expect(await client.awaitEnd(handle.id, { timeoutMs: 10_000 })).toMatchObject({ state: 'CANCELLED' });
});

test('stops a handler whose time is over', async () => {
  const held = heldHandler();
  await createWorker().handle('slow', held.handler).start();
  const handle = await client.submit('slow', undefined, { deadlines: { runMs: 200 }, retry: { attemptsMax: 1 } });
  expect(await aborted(await held.started)).toMatchObject({ interruption: 'RUN_TIMEOUT' });
  expect(await client.awaitEnd(handle.id, { timeoutMs: 10_000 })).toMatchObject({ state: 'FAILED' });
  held.resolve(undefined);
});

test('finishes what it holds when it stops', async () => {
  const held = heldHandler();
  const worker = createWorker().handle('slow', held.handler);
  await worker.start();
  const handle = await client.submit('slow');
  await held.started;
  const stopped = worker.stop();
  held.resolve('done');
  await stopped;
  expect(await client.get(handle.id)).toMatchObject({ state: 'SUCCEEDED', output: 'done', attempt: 1 });
});

test('gives back at the end of its grace what it could not finish, at no cost', async () => {
  const first = heldHandler();
  const worker = createWorker().handle('slow', first.handler);
  await worker.start();
  const handle = await client.submit('slow');
  const context = await first.started;
  void aborted(context).then(first.reject);
  await worker.stop({ graceMs: 10 });
  const task = await client.get(handle.id);
  expect(task).toMatchObject({ state: 'PENDING' });
  await createWorker()
    .handle('slow', () => 'done')
    .start();
  expect(await handle.result({ timeoutMs: 10_000 })).toBe('done');
  const kinds = (await client.history(handle.id)).map(({ kind }) => kind);
  expect(kinds).toContain('RELEASED');
});

test('keeps its tasks while it moves from a node that drains to another', async () => {
  const [leaving, staying] = [await coordinator.startNode(), await coordinator.startNode()];
  const connected: string[] = [];
  const second = Promise.withResolvers<void>();
  const held = heldHandler();
  const worker = createWorker({
    addresses: [leaving.grpcAddress, staying.grpcAddress],
    onConnected: ({ address, resumed }) => {
      connected.push(address);
      if (resumed) second.resolve();
    },
    onError: () => undefined,
  }).handle('slow', held.handler);
  await worker.start();
  const handle = await client.submit('slow');
  await held.started;
  const [current] = connected;
  await (current === leaving.grpcAddress ? leaving : staying).drain();
  await second.promise;
  held.resolve('kept');
  expect(await handle.result({ timeoutMs: 10_000 })).toBe('kept');
  expect(await client.get(handle.id)).toMatchObject({ attempt: 1 });
  expect(connected[1]).not.toBe(current);
});

test('keeps its tasks and results through the restart of the only node', async () => {
  const node = await coordinator.startNode();
  const held = heldHandler();
  const back = Promise.withResolvers<void>();
  const worker = createWorker({
    address: node.grpcAddress,
    onConnected: ({ resumed }) => {
      if (resumed) back.resolve();
    },
    onError: () => undefined,
  }).handle('slow', held.handler);
  await worker.start();
  const handle = await client.submit('slow');
  await held.started;
  await node.stop();
  held.resolve('made while nobody listened');
  const again = await coordinator.startNode({ DSTC_GRPC_ADDRESS: node.grpcAddress });
  await back.promise;
  expect(await handle.result({ timeoutMs: 10_000 })).toBe('made while nobody listened');
  expect(await client.get(handle.id)).toMatchObject({ attempt: 1 });
  await worker.stop();
  await again.stop();
});

test('holds no more than it asked for', async () => {
  let [running, most] = [0, 0];
  await createWorker({ concurrency: 4 })
    .handle(
      'slow',
      async () => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
      },
      { concurrency: 2 },
    )
    .start();
  const results = await client.submitMany(Array.from({ length: 50 }, () => ({ type: 'slow' })));
  await Promise.all(results.map((result) => (result.ok ? result.handle.result({ timeoutMs: 10_000 }) : undefined)));
  expect(most).toBeLessThanOrEqual(2);
});

test('runs until it is told to stop', async () => {
  const controller = new AbortController();
  const worker = createWorker({ onConnected: () => controller.abort() }).handle('echo', (input) => input);
  await worker.run({ signal: controller.signal });
});

test('finishes what it holds and ends by itself when an operator drains it', async () => {
  const held = heldHandler();
  const connected = Promise.withResolvers<string>();
  const drained = Promise.withResolvers<WorkerDrain>();
  const worker = createWorker({
    onConnected: ({ sessionId }) => connected.resolve(sessionId),
    onDrain: drained.resolve,
    shutdownGraceMs: 0,
  }).handle('slow', held.handler);
  const ran = worker.run();
  const handle = await client.submit('slow');
  const { signal } = await held.started;
  expect(await client.drainWorker(await connected.promise, { reason: 'new version' })).toMatchObject({
    draining: true,
  });
  expect(await drained.promise).toEqual({ reason: 'new version', withinMs: undefined });
  // No grace of its own counts against a drain that has time.
  expect(signal.aborted).toBe(false);
  held.resolve('done');
  await ran;
  expect(await client.get(handle.id)).toMatchObject({ state: 'SUCCEEDED', output: 'done', attempt: 1 });
  const left = [];
  for await (const session of client.workers()) left.push(session.id);
  expect(left).not.toContain(await connected.promise);
});

test('gives back in time what it cannot finish when an operator drains it', async () => {
  const held = heldHandler();
  const connected = Promise.withResolvers<string>();
  const worker = createWorker({ onConnected: ({ sessionId }) => connected.resolve(sessionId) });
  const ran = worker.handle('slow', held.handler).run();
  const handle = await client.submit('slow');
  const context = await held.started;
  void aborted(context).then(held.reject);
  await client.drainWorker(await connected.promise, { withinMs: 2_000 });
  await ran;
  expect(context.signal.reason).toMatchObject({ interruption: 'SHUTDOWN' });
  expect(await client.get(handle.id)).toMatchObject({ state: 'PENDING' });
  const released = (await client.history(handle.id)).find(({ kind }) => kind === 'RELEASED');
  expect(released?.actor).not.toMatch(/^system:/);
  await handle.cancel();
});

test('stops a handler that says nothing for longer than its heartbeat, and not one that does', async () => {
  const deadlines = { heartbeatMs: 2_000 };
  const held = [heldHandler(), heldHandler()] as const;
  const handlers = [...held];
  await createWorker({ concurrency: 2 })
    .handle('slow', (input, context) => (handlers.shift() ?? held[1]).handler(input, context))
    .start();
  const silent = await client.submit('slow', undefined, { deadlines, retry: { attemptsMax: 1 } });
  const quiet = await held[0].started;
  const loud = await client.submit('slow', undefined, { deadlines, retry: { attemptsMax: 1 } });
  const busy = await held[1].started;
  expect(busy.task.heartbeatMs).toBe(2_000);
  const beats = setInterval(() => busy.heartbeat(), 100);
  expect(await aborted(quiet)).toMatchObject({ interruption: 'HEARTBEAT_TIMEOUT' });
  expect(await client.awaitEnd(silent.id, { timeoutMs: 15_000 })).toMatchObject({
    state: 'FAILED',
    error: { code: 'HEARTBEAT_DEADLINE_EXCEEDED' },
  });
  clearInterval(beats);
  expect(busy.signal.aborted).toBe(false);
  held[1].resolve('done');
  expect(await loud.result({ timeoutMs: 10_000 })).toBe('done');
}, 20_000);

test('is given another task in the place of one whose time was over', async () => {
  const held = heldHandler();
  const handlers = [held.handler, () => 'done'];
  await createWorker({ concurrency: 1 })
    .handle('slow', (input, context) => handlers.shift()?.(input, context))
    .start();
  const first = await client.submit('slow', undefined, { deadlines: { runMs: 200 }, retry: { attemptsMax: 1 } });
  const second = await client.submit('slow');
  expect(await aborted(await held.started)).toMatchObject({ interruption: 'RUN_TIMEOUT' });
  held.resolve(undefined);
  expect(await client.awaitEnd(first.id, { timeoutMs: 10_000 })).toMatchObject({ state: 'FAILED' });
  expect(await second.result({ timeoutMs: 10_000 })).toBe('done');
});
