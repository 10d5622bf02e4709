import { setTimeout as pause } from 'node:timers/promises';
import { type Client, clientCredentials, createClient, DstcError, Worker, type WorkerOptions } from '@dstc/sdk';
import type postgres from 'postgres';
import { expect } from 'vitest';
import type { TestIdentityProvider } from '../setup/identity-provider.ts';

/** A producer and workers of one type, with what the producer was told and what the workers did. */
export interface Load {
  /** Ids of the tasks whose submission was acknowledged. */
  readonly acknowledged: ReadonlySet<string>;
  /** Handler runs, by worker. */
  readonly handled: readonly { readonly runs: number }[];
  /** Starts another worker on the same addresses. */
  readonly addWorker: () => Promise<void>;
  /** Submits tasks with a few calls in flight; each call is tried again, with its key, while no coordinator answers. */
  readonly submit: (count: number) => Promise<void>;
  /** Resolves once handlers have run this many times in all. */
  readonly untilHandled: (runs: number) => Promise<void>;
  /** Resolves once every task in the database has ended. */
  readonly untilEnded: (sql: postgres.Sql, withinMs: number) => Promise<void>;
  readonly stop: () => Promise<void>;
}

const type = 'work';
const lanes = 16;

export interface LoadOptions {
  readonly identity: TestIdentityProvider;
  /** Of the coordinators; the first worker begins with any of them. */
  readonly addresses: readonly string[];
  readonly worker?: Partial<WorkerOptions>;
  /** How long a handler takes. */
  readonly taskMs: number;
}

export async function startLoad({ identity, addresses, worker = {}, taskMs }: LoadOptions): Promise<Load> {
  const credentials = (client: 'operator' | 'worker') => {
    const { clientId, clientSecret } = identity.clients[client];
    return clientCredentials({ issuer: identity.issuer, clientId, clientSecret });
  };
  const clients = addresses.map((address) => createClient({ address, credentials: credentials('operator') }));
  const [first] = clients;
  if (first === undefined) throw new Error('there is nobody to submit to');
  await first.types.apply({ name: type });
  const acknowledged = new Set<string>();
  const handled: { runs: number }[] = [];
  const started: Worker[] = [];
  const waiting = new Map<() => void, number>();
  let submitted = 0;
  let runs = 0;

  async function addWorker(): Promise<void> {
    const count = { runs: 0 };
    const instance = new Worker({
      ...{ addresses, credentials: credentials('worker'), concurrency: 20, onError: () => undefined },
      ...worker,
    });
    instance.handle(type, async (input) => {
      await pause(taskMs);
      count.runs += 1;
      runs += 1;
      for (const [wake, at] of waiting) if (runs >= at) wake();
      return input;
    });
    handled.push(count);
    started.push(instance);
    await instance.start();
  }
  await addWorker();

  async function lane(client: Client, numbers: Iterator<number>): Promise<void> {
    for (let next = numbers.next(); !next.done; next = numbers.next()) {
      acknowledged.add(await untilAcknowledged(client, next.value));
    }
  }

  /** The client tries again by itself for a while, but an outage may be longer. */
  async function untilAcknowledged(client: Client, n: number): Promise<string> {
    for (;;) {
      try {
        const { id } = await client.submit(type, n, { idempotencyKey: `task ${n}` });
        return id;
      } catch (error) {
        const isOutage = error instanceof DstcError && ['UNAVAILABLE', 'DEADLINE_EXCEEDED'].includes(error.code);
        if (!isOutage) throw error;
      }
    }
  }

  return {
    acknowledged,
    handled,
    addWorker,
    async submit(count) {
      const numbers = Array.from({ length: count }, (_, n) => submitted + n).values();
      submitted += count;
      await Promise.all(Array.from({ length: lanes }, (_, n) => lane(clients[n % clients.length] ?? first, numbers)));
    },
    untilHandled(count) {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (runs >= count) resolve();
      waiting.set(resolve, count);
      return promise;
    },
    async untilEnded(sql, withinMs) {
      const left = async () => (await sql`SELECT 1 FROM task WHERE finished_time IS NULL LIMIT 1`).length;
      await expect.poll(left, { timeout: withinMs, interval: 100 }).toBe(0);
    },
    async stop() {
      await Promise.all(started.map((instance) => instance.stop({ graceMs: 0 })));
      for (const client of clients) client.close();
    },
  };
}
