import { createClient } from '@connectrpc/connect';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, refusalOf, startRig, transportNames } from './rig.ts';

const id = '01890a5d-ac96-774b-bcce-b302099a8057';
let rig: Rig;

beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());

describe.each(transportNames)('over %s', (name) => {
  const tasks = () => createClient(TaskService, rig.transports[name]);

  it('serves a unary call to a caller with a token', async () => {
    const { task } = await tasks().submitTask({ type: 'email.send' }, { headers: await rig.bearer() });
    expect(task).toMatchObject({ type: 'email.send', creator: expect.stringMatching(/^producer@127\.0\.0\.1:\d+$/) });
    expect(task?.idempotencyKey).toBe(String(name === 'connect JSON'));
  });

  it('serves a server stream', async () => {
    const sequences: number[] = [];
    for await (const { task } of tasks().watchTasks({ ids: [id] }, { headers: await rig.bearer() })) {
      sequences.push(task?.eventSequence ?? 0);
    }
    expect(sequences).toEqual([1, 2, 3]);
  });

  it('refuses a call without a token', async () => {
    expect(await refusalOf(tasks().submitTask({ type: 'x' }))).toMatchObject({
      code: 'Unauthenticated',
      reason: 'TOKEN_MISSING',
      infos: 1,
    });
  });

  it('refuses a caller that lacks the permission everywhere', async () => {
    expect(await refusalOf(tasks().submitTask({ type: 'x' }, { headers: await rig.bearer('worker') }))).toMatchObject({
      code: 'PermissionDenied',
      reason: 'PERMISSION_MISSING',
      infos: 1,
      metadata: { permission: 'submit', namespace: 'default' },
    });
  });

  it('names the fields that break the rules of the contract', async () => {
    const call = tasks().submitTask(
      { type: 'no spaces', labels: { 'a b': 'c' }, priority: 10 },
      { headers: await rig.bearer() },
    );
    const refusal = await refusalOf(call);
    expect(refusal).toMatchObject({ code: 'InvalidArgument', reason: 'FIELD_INVALID', infos: 1 });
    expect([...refusal.fields].sort()).toEqual(['labels["a b"]', 'priority', 'type']);
  });

  it('keeps an error readable when what it names is long', async () => {
    const labels = Object.fromEntries(Array.from({ length: 20 }, (_, at) => [`${at} ${'€'.repeat(20_000)}`, 'x']));
    const refusal = await refusalOf(tasks().submitTask({ type: 'x', labels }, { headers: await rig.bearer() }));
    expect(refusal).toMatchObject({ code: 'InvalidArgument', reason: 'FIELD_INVALID', infos: 1 });
    expect(refusal.fields).toHaveLength(8);
    expect(Buffer.byteLength(refusal.message + refusal.fields.join(''))).toBeLessThan(2_000);
  });

  it('answers a fault with a correlation id and logs it without payload data', async () => {
    const refusal = await refusalOf(tasks().submitTask({ type: 'fault' }, { headers: await rig.bearer() }));
    expect(refusal).toMatchObject({ code: 'Internal', reason: 'INTERNAL', infos: 1 });
    expect(refusal.message).not.toContain('reactor');
    const line = rig.log.find((text) => text.includes(refusal.metadata.correlation_id ?? 'none'));
    expect(line).toContain('the reactor melts');
    expect(line).not.toContain('canary-payload');
  });

  it('answers at the deadline when the handler ignores its signal', async () => {
    const started = performance.now();
    const call = tasks().submitTask({ type: 'stuck' }, { headers: await rig.bearer(), timeoutMs: 300 });
    expect(await refusalOf(call)).toMatchObject({ code: 'DeadlineExceeded' });
    expect(performance.now() - started).toBeLessThan(550);
  });

  it('refuses to send a message over the limit', async () => {
    const refusal = await refusalOf(tasks().submitTask({ type: 'large' }, { headers: await rig.bearer() }));
    expect(refusal).toMatchObject({ code: 'ResourceExhausted', reason: 'MESSAGE_TOO_LARGE', infos: 1 });
  });

  it('refuses to take a message over the limit', async () => {
    const data = new Uint8Array(rig.limits.messageBytesMax + 1);
    const request = { type: 'x', input: { value: { case: 'data' as const, value: data } } };
    expect(await refusalOf(tasks().submitTask(request, { headers: await rig.bearer() }))).toMatchObject({
      code: 'ResourceExhausted',
      reason: 'MESSAGE_TOO_LARGE',
      infos: 1,
      metadata: { limit_bytes: String(rig.limits.messageBytesMax) },
    });
  });

  it('says which RPC is not implemented', async () => {
    const refusal = await refusalOf(tasks().cancelTask({ id }, { headers: await rig.bearer() }));
    expect(refusal).toMatchObject({ code: 'Unimplemented', reason: 'UNIMPLEMENTED', infos: 1 });
  });

  it('aborts the signal of a handler whose caller goes away', async () => {
    const before = rig.seen.aborts.length;
    const gone = new AbortController();
    const stream = tasks().watchTasks(
      { ids: [id, '01890a5d-ac96-774b-bcce-b302099a8058'] },
      { headers: await rig.bearer(), signal: gone.signal },
    );
    const read = (async () => {
      for await (const _ of stream) gone.abort();
    })();
    await expect(read).rejects.toThrow();
    await expect.poll(() => rig.seen.aborts.length).toBeGreaterThan(before);
  });
});

describe('the worker stream', () => {
  it('carries messages both ways and ends when the worker is done', async () => {
    const worker = createClient(WorkerService, rig.transports.grpc);
    const answers: unknown[] = [];
    async function* requests() {
      yield { message: { case: 'hello' as const, value: { taskTypes: [{ taskType: 'x', slots: 1 }], slots: 1 } } };
      for (let nonce = 1n; nonce <= 3n; nonce += 1n) yield { message: { case: 'pong' as const, value: { nonce } } };
    }
    for await (const { message } of worker.work(requests(), { headers: await rig.bearer('worker') }))
      answers.push(message.case);
    expect(answers).toEqual(['welcome', 'ping', 'ping', 'ping']);
  });

  it('checks each message against the contract', async () => {
    const worker = createClient(WorkerService, rig.transports.grpc);
    async function* requests() {
      yield { message: { case: 'hello' as const, value: { taskTypes: [], slots: 0 } } };
    }
    const read = (async () => {
      for await (const _ of worker.work(requests(), { headers: await rig.bearer('worker') }));
    })();
    const refusal = await refusalOf(read);
    expect(refusal).toMatchObject({ code: 'InvalidArgument', reason: 'FIELD_INVALID', infos: 1 });
    expect(refusal.fields).toContain('hello.slots');
  });

  it('is offered on the gRPC port only', async () => {
    const response = await fetch(`${rig.httpUrl}/dstc.v1.WorkerService/Work`, { method: 'POST' });
    expect(response.status).toBe(501);
    expect(await response.json()).toMatchObject({
      code: 'unimplemented',
      details: [{ debug: { reason: 'UNIMPLEMENTED' } }],
    });
  });
});
