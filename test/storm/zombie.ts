import { setTimeout as pause } from 'node:timers/promises';
import { clientCredentials } from '@dstc/sdk';
import { leaseOf, openRawWorker, outcomeOf, type RawWorker } from '../setup/raw-worker.ts';
import { endWithStorm, settings, tell } from './messages.ts';
import type { Stamp } from './plan.ts';
import { createRandom } from './random.ts';

/** A worker that reports when its time is over and others may have its tasks, which the SDK would not do. */
endWithStorm();
const { name, seed, addresses, issuer, clientId, clientSecret } = settings();
const credentials = clientCredentials({ issuer, clientId, clientSecret });
const random = createRandom(seed);
for (;;) {
  // A stream that ends is followed by another one, as a new session.
  await haunt().catch(() => undefined);
  await pause(random.between(200, 1_000));
}

async function haunt(): Promise<void> {
  const token = await credentials.token();
  const hello = { taskTypes: [{ taskType: 'storm.haunted', slots: 4 }], slots: 4 };
  const worker = openRawWorker({ address: random.pick(addresses), token, hello });
  try {
    const { sessionId } = await worker.next('welcome');
    await Promise.race([hold(worker, sessionId), listen(worker)]);
  } finally {
    worker.cut();
  }
}

async function hold(worker: RawWorker, sessionId: string): Promise<void> {
  for (;;) {
    for (const assignment of (await worker.next('assignments', 30_000)).items) {
      const lease = leaseOf(assignment);
      worker.send({ case: 'accepted', value: { leases: [lease] } });
      const stamp: Stamp = { taskId: lease.taskId, sessionId, attempt: lease.attempt, by: name };
      const data = { case: 'data' as const, value: Buffer.from(JSON.stringify(stamp)) };
      const output = { value: data, contentType: 'application/json' };
      // The attempt is over after hauntedRunMs, and within a second or so somebody else has the next one.
      setTimeout(
        () => worker.send({ case: 'succeeded', value: { items: [{ lease, output }] } }),
        random.between(1_800, 4_000),
      );
    }
  }
}

async function listen(worker: RawWorker): Promise<void> {
  for (;;) {
    const { items } = await worker.next('settled', 60_000);
    for (const item of items) tell({ kind: 'settled', outcome: outcomeOf(item) });
  }
}
