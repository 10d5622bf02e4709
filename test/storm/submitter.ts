import { setTimeout as pause } from 'node:timers/promises';
import { type Client, clientCredentials, createClient, DstcError } from '@dstc/sdk';
import { endWithStorm, settings, tell } from './messages.ts';
import { drawPlan, type Plan } from './plan.ts';
import { createRandom } from './random.ts';

/** A producer of a storm: tells what it is about to send and what it was answered, and tries again with the same key. */
endWithStorm();
const { name, seed, rate, addresses, issuer, clientId, clientSecret } = settings();
const random = createRandom(seed);
const credentials = clientCredentials({ issuer, clientId, clientSecret });
const clients = addresses.map((address) => createClient({ address, credentials, timeoutMs: 4_000 }));
const underWay = new Set<Promise<void>>();
/** More than this wait while nobody answers, and the rest is not sent. */
const underWayMax = 200;
let isOver = false;
process.on('message', () => {
  isOver = true;
});

for (let n = 1; !isOver; n += 1) {
  await pause(random.between(0, 2_000 / rate));
  const plan = drawPlan(random);
  if (underWay.size >= underWayMax) continue;
  const call = submit(`${name} ${n}`, plan).finally(() => underWay.delete(call));
  underWay.add(call);
}
await Promise.all(underWay);
for (const client of clients) client.close();
process.removeAllListeners('disconnect');
process.send?.({ kind: 'done' }, () => process.disconnect());

async function submit(key: string, plan: Plan): Promise<void> {
  tell({ kind: 'sent', key, type: plan.type });
  await untilAcknowledged(key, plan);
  // Now and then a producer does not know that it was answered.
  if (random.next() < 0.03) await untilAcknowledged(key, plan);
}

async function untilAcknowledged(key: string, plan: Plan): Promise<void> {
  for (;;) {
    const client: Client = random.pick(clients);
    try {
      const { id, alreadyExisted } = await client.submit(plan.type, plan, { idempotencyKey: key });
      return tell({ kind: 'acknowledged', key, id, existed: alreadyExisted });
    } catch (error) {
      tell({ kind: 'refused', why: error instanceof DstcError ? `${error.code} ${error.reason}` : String(error) });
      await pause(random.between(50, 300));
    }
  }
}
