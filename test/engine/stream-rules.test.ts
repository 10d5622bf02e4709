import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectRaw, requestFields } from '../doors/raw-http2.ts';
import { startFaultProxy } from '../setup/fault-proxy.ts';
import { leaseOf, openRawWorker, outcomeOf } from '../setup/raw-worker.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { acceptance, clientsOf, type EngineRig, startEngineRig, success } from './rig.ts';

const open = ['*'];
let policyFile: string;
let rig: EngineRig;
beforeAll(async () => {
  policyFile = join(await temporaryDirectory(), 'policy.yaml');
  await setPolicy(open);
  rig = await startEngineRig({ DSTC_POLICY_FILE: policyFile, DSTC_LEASE_MS: '3000' });
});
afterAll(async () => {
  await rig.stop();
  await rm(dirname(policyFile), { recursive: true });
});

let policies = 0;

/** Rewrites the policy: the operator may do everything, workers may work on these types. */
async function setPolicy(taskTypes: readonly string[]): Promise<void> {
  policies += 1;
  const everything = 'submit, work, read, read_payload, cancel, redrive, pause, configure, approve, operate';
  const lines = [
    `roles: { worker: [work], operator: [${everything}] }`,
    'bindings:',
    "  - { role: operator, claims: { client_id: operator }, namespaces: ['*'], task_types: ['*'] }",
    ...[...taskTypes, `policy-${policies}`].map(
      (type) => `  - { role: worker, claims: { client_id: worker }, namespaces: [default], task_types: ['${type}'] }`,
    ),
  ];
  await writeFile(policyFile, lines.join('\n'));
}

/** Lets workers work on everything again, and waits until they may. */
async function reopen(): Promise<void> {
  await setPolicy(open);
  const { workers } = clientsOf(rig.coordinator.grpcAddress, await workerToken());
  const lease = () =>
    workers.leaseTasks({ taskTypes: ['policy-any'] }).then(
      () => 'allowed',
      () => 'refused',
    );
  await expect.poll(lease, { timeout: 3_000 }).toBe('allowed');
}

async function workerToken(seconds = 900): Promise<string> {
  const exp = Math.floor(Date.now() / 1_000) + seconds;
  return rig.coordinator.identity.forge({ sub: 'worker', client_id: 'worker', exp });
}

describe('a stream', () => {
  test('without Hello for 5 s ends', async () => {
    const openedMs = performance.now();
    const worker = openRawWorker({ address: rig.coordinator.grpcAddress, token: await workerToken() });
    expect(await worker.ended).toEqual({ code: 'DEADLINE_EXCEEDED', reason: 'DEADLINE_EXCEEDED' });
    expect(performance.now() - openedMs).toBeLessThan(6_000);
  });

  test('that begins with anything else ends', async () => {
    const worker = openRawWorker({ address: rig.coordinator.grpcAddress, token: await workerToken() });
    worker.send({ case: 'demand', value: { credits: 1 } });
    expect(await worker.ended).toEqual({ code: 'FAILED_PRECONDITION', reason: 'PROTOCOL_VIOLATION' });
  });

  test('with a second Hello ends, and its session with its leases can be resumed', async () => {
    const type = await rig.type();
    const id = await rig.submit(type);
    const hello = { taskTypes: [{ taskType: type, slots: 1 }], slots: 1 };
    const worker = await rig.worker(hello);
    const lease = leaseOf((await worker.assignments(1))[0]);
    worker.send(acceptance(lease));
    worker.send({ case: 'hello', value: hello });
    expect(await worker.ended).toEqual({ code: 'FAILED_PRECONDITION', reason: 'PROTOCOL_VIOLATION' });
    const again = await rig.worker({ ...hello, resume: { ...worker.session, held: [lease] } });
    again.send(success(lease));
    expect((await again.settlements([lease])).map(outcomeOf)).toEqual(['RECORDED']);
    expect((await rig.stored(id)).row.attempt).toBe(1);
  });

  test.each([
    ['no type', { taskTypes: [], slots: 1 }],
    ['no slots', { taskTypes: [{ taskType: 'a', slots: 1 }], slots: 0 }],
    ['a type twice', { taskTypes: [1, 2].map((slots) => ({ taskType: 'a', slots })), slots: 1 }],
    ['a name that is none', { taskTypes: [{ taskType: 'a b', slots: 1 }], slots: 1 }],
    ['credits above all bounds', { taskTypes: [{ taskType: 'a', slots: 2 ** 31 - 1 }], slots: 1 }],
  ])('whose Hello has %s ends', async (_, hello) => {
    const worker = openRawWorker({ address: rig.coordinator.grpcAddress, token: await workerToken(), hello });
    expect(await worker.ended).toEqual({ code: 'INVALID_ARGUMENT', reason: 'FIELD_INVALID' });
  });
});

describe('permission', () => {
  test('is asked for every type of Hello', async () => {
    const [mine, theirs] = [await rig.type(), await rig.type()];
    await setPolicy([mine]);
    const hello = (taskTypes: readonly string[]) => ({
      taskTypes: taskTypes.map((taskType) => ({ taskType, slots: 1 })),
      slots: 1,
    });
    const refused = async () => {
      const attempt = openRawWorker({
        address: rig.coordinator.grpcAddress,
        token: await workerToken(),
        hello: hello([mine, theirs]),
      });
      const outcome = await Promise.race([attempt.ended, attempt.next('welcome').catch(() => attempt.ended)]);
      attempt.cut();
      return outcome;
    };
    await expect.poll(refused, { timeout: 3_000 }).toEqual({ code: 'PERMISSION_DENIED', reason: 'PERMISSION_MISSING' });
    await reopen();
  });

  test('that is withdrawn from a type acts on an open stream within 2 s: its leases go back, unspent', async () => {
    const [kept, lost] = [await rig.type(), await rig.type()];
    const ids = [await rig.submit(kept), await rig.submit(lost)];
    const token = await workerToken();
    const taskTypes = [kept, lost].map((taskType) => ({ taskType, slots: 5 }));
    const worker = await openWith(taskTypes, token);
    const leases = (await worker.assignments(2)).map(leaseOf);
    worker.send(acceptance(...leases));
    for (const id of ids) await expect.poll(() => rig.kinds(id)).toContain('STARTED');

    await setPolicy([kept]);
    const { items } = await worker.next('cancels', 2_000);
    expect(items.map((item) => item.lease?.taskId)).toEqual([ids[1]]);
    await expect.poll(() => rig.kinds(ids[1] ?? '')).toContain('RELEASED');
    expect((await rig.stored(ids[1] ?? '')).row).toMatchObject({ state: 'PENDING', attempt: 0 });
    // Nothing of that type comes any more, and the rest goes on.
    await rig.submit(lost);
    const next = await rig.submit(kept);
    const [assignment] = await worker.assignments(1);
    expect(assignment?.lease?.taskId).toBe(next);
    const stale = leases.filter((lease) => lease.taskId === ids[1]);
    worker.send(success(...leases));
    expect((await worker.settlements(stale)).map(outcomeOf)).toEqual(['REFUSED TASK_NOT_FOUND']);
    await reopen();
    worker.cut();
  });

  test('that is withdrawn altogether ends the stream within 2 s, and the leases go back, unspent', async () => {
    const type = await rig.type();
    const id = await rig.submit(type);
    const worker = await openWith([{ taskType: type, slots: 1 }], await workerToken());
    worker.send(acceptance(leaseOf((await worker.assignments(1))[0])));
    await expect.poll(() => rig.kinds(id)).toContain('STARTED');
    const changedMs = performance.now();
    await setPolicy(['another.type']);
    expect(await worker.ended).toEqual({ code: 'PERMISSION_DENIED', reason: 'PERMISSION_MISSING' });
    expect(performance.now() - changedMs).toBeLessThan(2_000);
    await expect.poll(async () => (await rig.stored(id)).row.state).toBe('PENDING');
    expect((await rig.stored(id)).row.attempt).toBe(0);
    await reopen();
  });
});

describe('a token that expires on an open stream', () => {
  test('is asked for anew, and the fresh one keeps the stream and its leases', async () => {
    const type = await rig.type();
    const id = await rig.submit(type);
    const worker = await openWith([{ taskType: type, slots: 1 }], await workerToken(3));
    const lease = leaseOf((await worker.assignments(1))[0]);
    worker.send(acceptance(lease));
    const { within } = await worker.next('credentialsNeeded', 2_000);
    expect(Number(within?.seconds)).toBeLessThanOrEqual(3);
    worker.send({ case: 'credentials', value: { accessToken: await workerToken(600) } });
    // One ping a second: the first token has expired by then.
    for (let ping = 0; ping < 5; ping += 1) await worker.next('ping');
    worker.send(success(lease));
    expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['RECORDED']);
    expect((await rig.stored(id)).row.attempt).toBe(1);
    worker.cut();
  }, 15_000);

  test('is asked for anew each time, however short the lives of the fresh ones are', async () => {
    const type = await rig.type();
    const id = await rig.submit(type);
    const worker = await openWith([{ taskType: type, slots: 1 }], await workerToken(4));
    const lease = leaseOf((await worker.assignments(1))[0]);
    worker.send(acceptance(lease));
    for (let renewal = 0; renewal < 4; renewal += 1) {
      await worker.next('credentialsNeeded');
      worker.send({ case: 'credentials', value: { accessToken: await workerToken(4) } });
    }
    worker.send(success(lease));
    expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['RECORDED']);
    expect((await rig.stored(id)).row.attempt).toBe(1);
    worker.cut();
  }, 30_000);

  test('ends it within 2 s, and the leases go back, unspent', async () => {
    const type = await rig.type();
    const id = await rig.submit(type);
    const worker = await openWith([{ taskType: type, slots: 1 }], await workerToken(2));
    worker.send(acceptance(leaseOf((await worker.assignments(1))[0])));
    const openedMs = performance.now();
    expect(await worker.ended).toEqual({ code: 'UNAUTHENTICATED', reason: 'TOKEN_INVALID' });
    expect(performance.now() - openedMs).toBeLessThan(2_000 + 2_000);
    await expect.poll(async () => (await rig.stored(id)).row.state).toBe('PENDING');
    expect((await rig.stored(id)).row.attempt).toBe(0);
  });

  test('ends it within 2 s also when its worker reads nothing, and the leases go back, unspent', async () => {
    const type = await rig.type();
    const taskTypes = [{ taskType: type, slots: 10 }];
    const id = await rig.submit(type);
    const first = await openWith(taskTypes, await workerToken());
    const lease = leaseOf((await first.assignments(1))[0]);
    first.send(acceptance(lease));
    await expect.poll(() => rig.kinds(id)).toContain('STARTED');
    first.cut();
    const input = { value: { case: 'data' as const, value: new Uint8Array(200_000) } };
    for (let count = 0; count < 2; count += 1) await rig.submit(type, { input });

    const exp = Math.floor(Date.now() / 1_000) + 5;
    const token = await rig.coordinator.identity.forge({ sub: 'worker', client_id: 'worker', exp });
    // It grants no window beyond the first 64 KiB, so that the node waits for room.
    const port = Number(rig.coordinator.grpcAddress.split(':')[1]);
    const raw = await connectRaw(port);
    const { input: schema } = WorkerService.method.work;
    const say = (message: NonNullable<MessageInitShape<typeof schema>['message']>) =>
      raw.message(1, toBinary(schema, create(schema, { message })), { endStream: false });
    raw.headers(1, requestFields(port, [['authorization', `Bearer ${token}`]], '/dstc.v1.WorkerService/Work'));
    say({ case: 'hello', value: { taskTypes, slots: 10, resume: { ...first.session, held: [lease] } } });
    const life = setInterval(() => say({ case: 'pong', value: {} }), 200);
    await expect
      .poll(async () => (await rig.sql`SELECT 1 FROM task WHERE type = ${type} AND state = 'RUNNING'`).length)
      .toBe(3);
    expect(Date.now()).toBeLessThan(exp * 1_000);
    const state = async () => (await rig.stored(id)).row.state;
    await expect.poll(state, { timeout: exp * 1_000 + 2_000 - Date.now() }).toBe('PENDING');
    expect(Date.now()).toBeGreaterThanOrEqual(exp * 1_000);
    expect((await rig.stored(id)).row.attempt).toBe(0);
    clearInterval(life);
    raw.close();
  });

  test('ends it also while it is being opened and Postgres does not answer', async () => {
    const way = await startFaultProxy(Number(new URL(rig.coordinator.databaseUrl).port));
    const url = new URL(rig.coordinator.databaseUrl);
    url.port = String(way.port);
    const node = await rig.coordinator.startNode({ DATABASE_URL: url.href });
    way.block();
    const hello = { taskTypes: [{ taskType: await rig.type(), slots: 1 }], slots: 1 };
    const worker = openRawWorker({ address: node.grpcAddress, token: await workerToken(2), hello });
    const openedMs = performance.now();
    expect(await worker.ended).toEqual({ code: 'UNAUTHENTICATED', reason: 'TOKEN_INVALID' });
    expect(performance.now() - openedMs).toBeLessThan(2_000 + 2_000);
    way.heal();
    await node.stop();
    await way.close();
  });

  test.each([
    ['of another principal', () => rig.coordinator.token('operator')],
    ['that is forged', async () => 'not.a.token'],
  ])('is not renewed by one %s', async (_, token) => {
    const type = await rig.type();
    const worker = await openWith([{ taskType: type, slots: 1 }], await workerToken());
    worker.send({ case: 'credentials', value: { accessToken: await token() } });
    expect(await worker.ended).toEqual({ code: 'UNAUTHENTICATED', reason: 'TOKEN_INVALID' });
  });
});

function openWith(taskTypes: readonly { taskType: string; slots: number }[], token: string) {
  return rig.worker({ taskTypes: [...taskTypes], slots: 10 }, { token });
}
