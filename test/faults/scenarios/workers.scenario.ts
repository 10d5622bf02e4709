import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { CoordinatorProcess } from '../../setup/coordinator-process.ts';
import type { Told } from './stoppable-worker.ts';
import { figure, startWorld, type World } from './world.ts';

const leaseMs = 10_000;
let world: World;
let node: CoordinatorProcess;
let workers: ChildProcess[];
beforeEach(async () => {
  world = await startWorld();
  [node] = (await world.nodes(1)) as [CoordinatorProcess];
  workers = [];
});
afterEach(async () => {
  for (const worker of workers) worker.kill('SIGKILL');
  await world.stop();
});

/** A worker process with what it has told. */
function startWorker() {
  const { clientId, clientSecret } = world.identity.clients.worker;
  const child = fork(new URL('stoppable-worker.ts', import.meta.url), [
    ...[node.grpcAddress, world.identity.issuer, clientId, clientSecret],
  ]);
  workers.push(child);
  const told: Told[] = [];
  child.on('message', (message: Told) => told.push(message));
  return {
    child,
    finish: () => void child.send('finish'),
    async until(kind: Told['kind']): Promise<Told> {
      for (;;) {
        const found = told.find((message) => message.kind === kind);
        if (found !== undefined) return found;
        await once(child, 'message');
      }
    },
  };
}

interface Event {
  readonly kind: string;
  readonly attempt: number;
  readonly seconds: number;
}

/** A task's history, with the seconds since an instant of the database's clock. */
function historyOf(id: string, since: Date): Promise<Event[]> {
  return world.sql<Event[]>`
    SELECT kind, attempt, extract(epoch FROM time - ${since})::float8 AS seconds FROM task_event
    WHERE task_id = ${id} ORDER BY sequence`;
}

async function now(): Promise<Date> {
  const [row] = await world.sql<{ now: Date }[]>`SELECT clock_timestamp() AS now`;
  return row?.now ?? new Date(0);
}

async function submit(): Promise<string> {
  const { tasks, types } = await world.operator(node);
  await types.applyTaskType({ taskType: { name: 'work' } });
  const { task } = await tasks.submitTask({ type: 'work' });
  return task?.id ?? '';
}

test('kill -9 of a worker: its task is given to another one within the lease and a second', async () => {
  const id = await submit();
  const first = startWorker();
  await first.until('working');
  const second = startWorker();
  const since = await now();
  first.child.kill('SIGKILL');
  await second.until('working');
  second.finish();
  await expect.poll(async () => (await historyOf(id, since)).at(-1)?.kind, { timeout: 10_000 }).toBe('succeeded');
  const history = await historyOf(id, since);
  const again = history.findLast(({ kind }) => kind === 'leased');
  figure('from kill -9 of a worker to the next lease of its task', again?.seconds ?? 0, 's');
  expect(history.map(({ kind }) => kind)).toEqual([
    ...['submitted', 'leased', 'started', 'lease_lost', 'leased', 'started', 'succeeded'],
  ]);
  expect(again?.seconds).toBeLessThan(leaseMs / 1_000 + 1);
});

test('SIGSTOP of a worker for two leases: its handler is told to stop, its report is refused, and nothing changes', async () => {
  const id = await submit();
  const zombie = startWorker();
  await zombie.until('working');
  const other = startWorker();
  const since = await now();
  zombie.child.kill('SIGSTOP');
  await other.until('working');
  other.finish();
  await expect.poll(async () => (await historyOf(id, since)).at(-1)?.kind, { timeout: 10_000 }).toBe('succeeded');
  const untilTwoLeases = async () => ((await now()).getTime() - since.getTime()) / leaseMs;
  await expect.poll(untilTwoLeases, { timeout: 3 * leaseMs, interval: 500 }).toBeGreaterThan(2);
  const before = await historyOf(id, since);
  zombie.child.kill('SIGCONT');
  expect(await zombie.until('told to stop')).toMatchObject({ taskId: id, attempt: 1 });
  // It ends the task all the same, and begins with the next one only when that end has been answered.
  zombie.finish();
  const next = await submit();
  await expect.poll(async () => (await historyOf(next, since)).at(-1)?.kind, { timeout: 10_000 }).toBe('succeeded');
  expect(await historyOf(id, since)).toEqual(before);
  expect(before.filter(({ kind }) => kind === 'leased').map(({ attempt }) => attempt)).toEqual([1, 2]);
  const again = before.findLast(({ kind }) => kind === 'leased');
  figure('from SIGSTOP of a worker to the next lease of its task', again?.seconds ?? 0, 's');
  expect(again?.seconds).toBeLessThan(leaseMs / 1_000 + 1);
});
