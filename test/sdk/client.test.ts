import { randomUUID } from 'node:crypto';
import {
  type Client,
  type ControlManyResult,
  createClient,
  DstcError,
  isReason,
  PermanentError,
  type Submission,
  staticToken,
  TaskCancelledError,
  TaskFailedError,
  Worker,
} from '@dstc/sdk';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startTestCoordinator, type TestCoordinator } from '../setup/coordinator.ts';

let coordinator: TestCoordinator;
let operator: Client;
let client: Client;
const workers: Worker[] = [];

beforeAll(async () => {
  coordinator = await startTestCoordinator();
  const address = coordinator.grpcAddress;
  operator = createClient({ address, credentials: coordinator.credentials('operator') });
  client = createClient({ address, credentials: coordinator.credentials('producer') });
  await operator.types.apply({
    name: 'phone.check',
    description: 'Checks a phone number.',
    inputSchema: { type: 'object', required: ['number'], properties: { number: { type: 'string' } } },
    retry: { attemptsMax: 2, initialDelayMs: 10 },
  });
  await operator.types.apply({ name: 'bytes.keep' });
});

afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.stop({ graceMs: 0 })));
});

afterAll(async () => {
  client.close();
  operator.close();
  await coordinator.stop();
});

async function startWorker(type: string, handler: (input: never) => unknown): Promise<void> {
  const worker = new Worker({ address: coordinator.grpcAddress, credentials: coordinator.credentials('worker') });
  workers.push(worker.handle(type, handler));
  await worker.start();
}

test('submits a task and awaits its result', async () => {
  await startWorker('phone.check', ({ number }: { number: string }) => ({ valid: number.startsWith('+') }));
  const handle = await client.submit(
    'phone.check',
    { number: '+44 20 7946 0958' },
    { labels: { team: 'sales' }, priority: 7 },
  );
  expect(handle.task).toMatchObject({ type: 'phone.check', labels: { team: 'sales' }, priority: 7, attemptsMax: 2 });
  expect(handle.alreadyExisted).toBe(false);
  expect(await handle.result({ timeoutMs: 10_000 })).toEqual({ valid: true });
  expect(await operator.get(handle.id)).toMatchObject({ state: 'SUCCEEDED', attempt: 1, creator: expect.any(String) });
});

test('carries bytes of any media type both ways', async () => {
  await startWorker('bytes.keep', ({ data, contentType }: { data: Uint8Array; contentType: string }) => ({
    data: data.toReversed(),
    contentType,
  }));
  const handle = await client.submit('bytes.keep', { data: Uint8Array.of(1, 0, 255), contentType: 'image/png' });
  expect(await handle.result({ timeoutMs: 10_000 })).toEqual({
    data: Buffer.from([255, 0, 1]),
    contentType: 'image/png',
  });
});

test('finds the same task by its idempotency key, and refuses another one', async () => {
  const idempotencyKey = randomUUID();
  const first = await client.submit('bytes.keep', 1, { idempotencyKey, delayMs: 60_000 });
  const second = await client.submit('bytes.keep', 1, { idempotencyKey, delayMs: 60_000 });
  expect(second).toMatchObject({ id: first.id, alreadyExisted: true });
  const conflict = client.submit('bytes.keep', 2, { idempotencyKey });
  await expect(conflict).rejects.toMatchObject({ reason: 'IDEMPOTENCY_CONFLICT', code: 'ALREADY_EXISTS' });
});

test('throws typed errors that name the field', async () => {
  const wrong: unknown = await client.submit('phone.check', { numbr: 1 }).catch((error: unknown) => error);
  expect(wrong).toBeInstanceOf(DstcError);
  expect(isReason(wrong, 'INPUT_INVALID')).toBe(true);
  expect(wrong).toMatchObject({ code: 'INVALID_ARGUMENT', violations: [{ field: expect.stringContaining('input') }] });
  await expect(client.submit('no.such.type', 1)).rejects.toMatchObject({ reason: 'TASK_TYPE_NOT_FOUND' });
  await expect(client.get(randomUUID())).rejects.toMatchObject({ reason: 'TASK_NOT_FOUND', code: 'NOT_FOUND' });
  await expect(client.get('1')).rejects.toMatchObject({ reason: 'FIELD_INVALID', violations: [{ field: 'id' }] });
  await expect(client.types.apply({ name: 'x' })).rejects.toMatchObject({ reason: 'PERMISSION_MISSING' });
  const input = { data: new Uint8Array(3 * 1024 * 1024), contentType: 'application/octet-stream' };
  await expect(client.submit('bytes.keep', input)).rejects.toMatchObject({ reason: 'PAYLOAD_TOO_LARGE' });
});

test('submits many, with a result for each', async () => {
  const submissions: Submission[] = Array.from({ length: 1_200 }, (_, index) => ({
    type: 'phone.check',
    input: index === 1_100 ? {} : { number: `+${index}` },
    labels: { batch: 'many' },
    delayMs: 60_000,
  }));
  const results = await client.submitMany(submissions);
  expect(results).toHaveLength(1_200);
  const refused = results.flatMap((result, index) => (result.ok ? [] : [{ index, error: result.error }]));
  expect(refused).toMatchObject([{ index: 1_100, error: { reason: 'INPUT_INVALID' } }]);
  let listed = 0;
  for await (const task of client.list({ types: ['phone.check'], labels: { batch: 'many' } }, { pageSize: 500 })) {
    expect(task).toMatchObject({ state: 'PENDING', input: undefined });
    listed += 1;
  }
  expect(listed).toBe(1_199);
});

test('refuses what is too large for a message alone, and submits what is before and after it', async () => {
  const of = (input: unknown): Submission => ({ type: 'bytes.keep', input, delayMs: 60_000 });
  const huge = of('x'.repeat(9 * 1024 * 1024));
  const submitted = async (submissions: readonly Submission[]) =>
    (await client.submitMany(submissions)).map((result) => result.ok || result.error.reason);
  expect(await submitted([of(1), huge, of(2), of(3)])).toEqual([true, 'MESSAGE_TOO_LARGE', true, true]);
  expect(await submitted([huge, of(1), { ...of(2), dependsOn: [huge] }])).toEqual([
    'MESSAGE_TOO_LARGE',
    true,
    'MESSAGE_TOO_LARGE',
  ]);
});

test('throws when nothing of many was submitted', async () => {
  const stranger = createClient({ address: coordinator.grpcAddress, credentials: staticToken('not-a-token') });
  await expect(stranger.submitMany([{ type: 'bytes.keep' }])).rejects.toMatchObject({ reason: 'TOKEN_INVALID' });
  stranger.close();
});

test('throws what the task failed with', async () => {
  await startWorker('phone.check', () => {
    throw new PermanentError('BAD_NUMBER', 'that is no number');
  });
  const handle = await client.submit('phone.check', { number: '1' });
  const failure: unknown = await handle.result({ timeoutMs: 10_000 }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(TaskFailedError);
  expect(failure).toMatchObject({
    error: { code: 'BAD_NUMBER', message: 'that is no number', kind: 'PERMANENT' },
    task: { id: handle.id, state: 'FAILED' },
  });
});

test('cancels a waiting task, which those who wait are told', async () => {
  const handle = await client.submit('bytes.keep', 1, { delayMs: 60_000 });
  const told = expect(handle.result()).rejects.toBeInstanceOf(TaskCancelledError);
  expect(await operator.cancel(handle.id, { reason: 'not needed' })).toMatchObject({ state: 'CANCELLED' });
  await told;
  const events = await operator.history(handle.id);
  expect(events.map(({ kind, sequence }) => [sequence, kind])).toEqual([
    [1, 'SUBMITTED'],
    [2, 'CANCELLED'],
  ]);
  expect(events[1]).toMatchObject({ reason: 'not needed', state: 'CANCELLED', time: expect.any(Date) });
});

test('steers single tasks', async () => {
  const { id } = await client.submit('bytes.keep', 1, { delayMs: 60_000 });
  expect(await operator.pause(id, { reason: 'wait' })).toMatchObject({ state: 'PENDING', paused: true });
  expect(await operator.resume(id)).toMatchObject({ paused: false });
  expect(await operator.skip(id)).toMatchObject({ state: 'SKIPPED' });
  const refused = operator.redrive(id);
  await expect(refused).rejects.toMatchObject({ reason: 'STATE_CONFLICT', metadata: { state: 'SKIPPED' } });
});

test('steers all tasks that match, from page to page', async () => {
  const labels = { story: 'many' };
  const submissions = Array.from({ length: 25 }, (_, at) => ({
    ...{ type: 'bytes.keep', input: at, delayMs: 60_000, labels: { ...labels, ...(at < 5 && { few: 'yes' }) } },
  }));
  await client.submitMany(submissions);
  const seen: number[] = [];
  const counted = await operator.cancelMany({ labels }, { dryRun: true });
  expect(counted).toMatchObject({ matched: 25, changed: 25 });
  const options = {
    reason: 'enough',
    pageSize: 10,
    onProgress: (soFar: ControlManyResult) => seen.push(soFar.changed),
  };
  const cancelled = await operator.cancelMany({ labels: { ...labels, few: { exists: false } } }, options);
  expect(cancelled).toMatchObject({ matched: 20, changed: 20 });
  expect(cancelled.sampleIds).toHaveLength(10);
  expect(seen.slice(0, 2)).toEqual([10, 20]);
  const pausing = await operator.pauseMany({ labels, types: ['bytes.keep'], states: ['PENDING'] });
  expect(pausing).toMatchObject({ matched: 5, changed: 5 });
  expect(await operator.resumeMany({ labels: { few: { in: ['yes', 'no'] } }, paused: true })).toMatchObject({
    changed: 5,
  });
  expect(await operator.skipMany({ labels: { story: 'many', few: { notIn: ['no'] } } })).toMatchObject({ changed: 5 });
  for (const condition of ['types', 'states', 'errorCodes', 'errorFingerprints']) {
    const selection = { labels, [condition]: [] };
    await expect(operator.cancelMany(selection, { dryRun: true })).rejects.toMatchObject({
      reason: 'FIELD_INVALID',
      violations: [{ field: `filter.${condition}` }],
    });
  }
  const mistyped = { labels, type: ['bytes.keep'] };
  const misfits = { reason: 'FIELD_INVALID', violations: [{ field: 'filter.type' }] };
  await expect(operator.cancelMany(mistyped, { dryRun: true })).rejects.toMatchObject(misfits);
  await expect(client.list(mistyped)[Symbol.asyncIterator]().next()).rejects.toMatchObject(misfits);
  await expect(operator.cancelMany({})).rejects.toMatchObject({
    reason: 'FIELD_INVALID',
    violations: [{ field: 'filter' }],
  });
});

test('redrives and discards dead letters, and tells what they failed with', async () => {
  await startWorker('phone.check', () => {
    throw new PermanentError('BAD_NUMBER', 'that is no number');
  });
  const labels = { story: 'dead' };
  const handles = await Promise.all([1, 2, 3].map(() => client.submit('phone.check', { number: '1' }, { labels })));
  for (const { id } of handles) await client.awaitEnd(id);
  const { groups, complete } = await operator.deadLetters({ labels });
  expect(groups).toMatchObject([
    { type: 'phone.check', errorCode: 'BAD_NUMBER', count: 3, lastFailedTime: expect.any(Date) },
  ]);
  expect(complete).toBe(true);
  const [first, ...others] = handles.map(({ id }) => id);
  expect(await operator.redrive(first ?? '', { input: { number: '2' }, delayMs: 60_000 })).toMatchObject({
    state: 'PENDING',
  });
  const filter = {
    labels,
    errorFingerprints: groups.map(({ errorFingerprint }) => errorFingerprint),
    deadLettersOnly: true,
  };
  const redriven = await operator.redriveMany(filter, { tasksPerSecond: 0.01, pageSize: 1 });
  expect(redriven).toMatchObject({ matched: 2, changed: 2, sampleIds: others.toSorted() });
  await client.awaitEnd(redriven.sampleIds[0] ?? '');
  expect(await operator.discardMany(filter)).toMatchObject({ matched: 1, changed: 1 });
  expect(await operator.discard(redriven.sampleIds[0] ?? '')).toMatchObject({ state: 'FAILED', discarded: true });
});

test('waits no longer than it is told', async () => {
  const handle = await client.submit('bytes.keep', 1, { delayMs: 60_000 });
  await expect(handle.result({ timeoutMs: 50 })).rejects.toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
  const reason = new Error('enough');
  const controller = new AbortController();
  const result = handle.result({ signal: controller.signal });
  controller.abort(reason);
  await expect(result).rejects.toBe(reason);
});

test('watches tasks until all have ended', async () => {
  const handles = await Promise.all([1, 2].map((input) => client.submit('bytes.keep', input)));
  const states = new Map<string, string[]>();
  const watching = (async () => {
    for await (const task of client.watch(handles.map(({ id }) => id.toUpperCase()))) {
      states.set(task.id, [...(states.get(task.id) ?? []), task.state]);
      if (states.size === 2 && workers.length === 0) await startWorker('bytes.keep', (input) => input);
    }
  })();
  await watching;
  for (const { id } of handles) {
    expect(states.get(id)?.at(0)).toBe('PENDING');
    expect(states.get(id)?.at(-1)).toBe('SUCCEEDED');
  }
});

test('watches for longer than its tokens live', async () => {
  const clientId = coordinator.identity.clients.producer.clientId;
  const enough = Promise.withResolvers<void>();
  let tokens = 0;
  const credentials = {
    async token() {
      tokens += 1;
      if (tokens === 4) enough.resolve();
      const exp = Math.floor(Date.now() / 1_000) + 2;
      return coordinator.identity.forge({ sub: clientId, client_id: clientId, exp });
    },
  };
  const watcher = createClient({ address: coordinator.grpcAddress, credentials });
  const { id } = await client.submit('bytes.keep', 1, { delayMs: 60_000 });
  const states: string[] = [];
  const watching = (async () => {
    for await (const task of watcher.watch([id])) states.push(task.state);
  })();
  await Promise.race([enough.promise, watching]);
  await operator.cancel(id);
  await watching;
  expect(states).toEqual(['PENDING', 'CANCELLED']);
  watcher.close();
});

test('reads, lists and changes task types', async () => {
  const names: string[] = [];
  for await (const type of operator.types.list()) names.push(type.name);
  expect(names).toContain('phone.check');
  const type = await operator.types.get('phone.check');
  expect(type).toMatchObject({
    namespace: 'default',
    description: 'Checks a phone number.',
    inputSchema: { type: 'object' },
    retry: { attemptsMax: 2, initialDelayMs: 10 },
    createTime: expect.any(Date),
  });
  const changed = await operator.types.apply({ ...type, description: 'Checks numbers.' });
  expect(changed).toMatchObject({ description: 'Checks numbers.', retry: { attemptsMax: 2 } });
  await expect(operator.types.apply({ ...type, description: 'x' })).rejects.toMatchObject({ reason: 'ETAG_MISMATCH' });
});

test('pauses and resumes task types and the namespace', async () => {
  const { types, namespaces } = operator;
  const pause = { time: expect.any(Date), actor: expect.stringContaining('operator'), reason: 'bad release' };
  expect((await types.pause('bytes.keep', { reason: 'bad release' })).status).toMatchObject({ pause });
  expect(await namespaces.pause()).toMatchObject({ namespace: 'default', pause: { ...pause, reason: '' } });
  const waiting = await client.submit('bytes.keep', 1);
  await startWorker('bytes.keep', (input) => input);
  expect((await types.resume('bytes.keep')).status).toMatchObject({ pause: undefined, namespacePause: { reason: '' } });
  expect((await client.get(waiting.id)).state).toBe('PENDING');
  expect(await namespaces.resume()).toEqual(await namespaces.get());
  expect(await waiting.result()).toBe(1);
});

test('opens and closes circuits, and deletes task types', async () => {
  const { types } = operator;
  const circuitBreaker = { failureRatio: 0.5, attemptsMin: 3, windowMs: 2_000, openMs: 1_000, probes: 2 };
  const applied = await types.apply({ name: 'fragile', circuitBreaker });
  expect(applied).toMatchObject({ circuitBreaker, status: { circuit: { state: 'CLOSED', time: undefined } } });
  const open = await types.setCircuit('fragile', 'FORCED_OPEN', { reason: 'broken' });
  const circuit = { state: 'FORCED_OPEN', time: expect.any(Date), actor: expect.stringContaining('operator') };
  expect(open.status).toMatchObject({ circuit: { ...circuit, reason: 'broken' } });
  expect((await types.setCircuit('fragile', 'AUTOMATIC')).status.circuit.state).toBe('CLOSED');

  const task = await operator.submit('fragile', 1);
  await expect(types.delete('fragile')).rejects.toMatchObject({ reason: 'STATE_CONFLICT' });
  await task.cancel();
  await expect(types.delete('fragile', { etag: 'stale' })).rejects.toMatchObject({ reason: 'ETAG_MISMATCH' });
  await types.delete('fragile', { etag: applied.etag });
  await expect(types.get('fragile')).rejects.toMatchObject({ reason: 'TASK_TYPE_NOT_FOUND' });
});

test('goes on when a node comes back on its address', async () => {
  const node = await coordinator.startNode();
  const patient = createClient({ address: node.grpcAddress, credentials: coordinator.credentials('producer') });
  await patient.submit('bytes.keep', 1, { delayMs: 60_000 });
  await node.stop();
  const submitted = patient.submit('bytes.keep', 2, { delayMs: 60_000 });
  const again = await coordinator.startNode({ DSTC_GRPC_ADDRESS: node.grpcAddress });
  expect((await submitted).task.state).toBe('PENDING');
  patient.close();
  await again.stop();
});
