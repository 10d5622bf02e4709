import { setTimeout as pause } from 'node:timers/promises';
import { clientCredentials, createClient, DstcError, type Webhooks } from '@dstc/sdk';
import { hookFilter } from './hook.ts';
import { createHookKeys } from './hook-keys.ts';
import { createManners } from './hook-manners.ts';
import { createHookServer } from './hook-server.ts';
import { type Conduct, joinStorm, settings, tell } from './messages.ts';
import { createRandom } from './random.ts';

/**
 * The endpoint of a webhook, and the operator whose it is: takes events, or does not, in all the ways in which endpoints
 * fail, tells of each request, and gives the webhook another secret now and then.
 */
joinStorm();
const { seed, addresses, ca, issuer, clientId, clientSecret, hookPort } = settings();
const random = createRandom(seed);
const credentials = clientCredentials({ issuer, clientId, clientSecret });
const clients = addresses.map((address) => createClient({ address, credentials, tls: { ca }, timeoutMs: 4_000 }));
const hook = { url: `http://127.0.0.1:${hookPort}/events`, filter: hookFilter };
const overlapMs = 40_000;
/** What a fault keeps on its way arrives within this time. */
const lateMsMax = 20_000;

const { id, secret } = await webhooks().create(hook);
const keys = createHookKeys(secret, overlapMs);
const misbehave = createManners(createRandom(seed + 1));
let isBad = false;
let misbehaviour: Promise<unknown> | undefined;
const behaving = new AbortController();
const server = createHookServer(hookPort, {
  judge: ({ headers }, body, nowMs) => keys.judge(headers, body, nowMs),
  mannerAt: (nowMs) => (isBad ? misbehave(nowMs) : { kind: 'take', afterMs: random.between(0, 200) }),
  onRequest: (request) => tell({ kind: 'hooked', request }),
});
await server.listen();
process.on('message', ({ kind }: Conduct) => {
  isBad = kind === 'misbehave';
  if (isBad) misbehaviour = Promise.all([comeAndGo(), rotateNowAndThen()]);
  else behaving.abort();
  if (kind === 'repair') void repair();
});
tell({ kind: 'ready' });

function webhooks(): Webhooks {
  return random.pick(clients).webhooks;
}

/** Whether it misbehaves still when the time is over. */
async function stillAfter(ms: number): Promise<boolean> {
  await pause(ms, undefined, { signal: behaving.signal }).catch(() => undefined);
  return isBad;
}

/** An absence opens the circuit for half a minute: it serves for longer, and what has waited meanwhile gets through. */
async function comeAndGo(): Promise<void> {
  while (await stillAfter(random.between(30_000, 60_000))) {
    await server.leave();
    await pause(random.between(1_000, 4_000));
    await server.listen();
    tell({ kind: 'hook was away' });
    await Promise.race([
      server.visited(),
      new Promise((resolve) => behaving.signal.addEventListener('abort', resolve)),
    ]);
  }
}

async function rotateNowAndThen(): Promise<void> {
  while (await stillAfter(random.between(10_000, 30_000))) await rotate();
}

/** A rotation that was not answered may be carried out late, after a second one: nobody would know what is current then. */
async function rotate(): Promise<void> {
  for (;;) {
    keys.asked(Date.now());
    try {
      const rotated = await webhooks().rotateSecret(id, { overlapMs });
      keys.answered(rotated.secret, Date.now());
      tell({ kind: 'hook rotated' });
      return;
    } catch (error) {
      tellRefusal(error);
      await pause(lateMsMax);
    }
  }
}

/** As people do when an endpoint is well again: its circuit need not be waited for, nor what is tried again later. */
async function repair(): Promise<void> {
  await misbehaviour;
  await untilAnswered((owner) => owner.update(id, { ...hook, disabled: true }));
  await untilAnswered((owner) => owner.update(id, { ...hook, disabled: false }));
  const states = ['PENDING', 'DEAD_LETTER'] as const;
  const waiting = await untilAnswered((owner) => Array.fromAsync(owner.deliveries(id, { states })));
  for (const { eventId } of waiting) await untilAnswered((owner) => owner.replay(id, { eventId }));
  tell({ kind: 'hook repaired', replayed: waiting.length });
}

/** Connections that a fault has left half open are found out by the first call that uses them. */
async function untilAnswered<Answer>(call: (owner: Webhooks) => Promise<Answer>): Promise<Answer> {
  for (;;) {
    try {
      return await call(webhooks());
    } catch (error) {
      tellRefusal(error);
      await pause(random.between(50, 300));
    }
  }
}

function tellRefusal(error: unknown): void {
  tell({ kind: 'refused', why: error instanceof DstcError ? `${error.code} ${error.reason}` : String(error) });
}
