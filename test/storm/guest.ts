import { setTimeout as pause } from 'node:timers/promises';
import { leaseOf, openRawWorker, type RawWorker } from '../setup/raw-worker.ts';
import { signToken } from '../setup/sign-token.ts';
import { joinStorm, settings, tell } from './messages.ts';
import type { Stamp } from './plan.ts';
import { createRandom } from './random.ts';

/**
 * A worker of a storm whose tokens end after seconds, and whose right to work is taken from it now and then. It renews its
 * tokens, or lets them expire, and tells how long it was served.
 */
joinStorm();
const { name, seed, nodes, ca, issuer, clientId, signingKey } = settings();
const random = createRandom(seed);
const tokenSeconds = 8;
const stayMsMax = 40_000;
/** Between two tellings of being served. */
const servedMs = 100;
for (;;) {
  await visit();
  await pause(random.between(200, 800));
}

async function visit(): Promise<void> {
  const node = random.pick(nodes.filter(({ hasRightClock }) => hasRightClock));
  const stays = random.next() < 0.6;
  let [expiresAtMs, token] = await freshToken();
  const taskTypes = [{ taskType: 'storm.guest', slots: 4 }];
  const worker = openRawWorker({ address: node.grpc, token, ca, hello: { taskTypes, slots: 4 } });
  const leavesAtMs = Date.now() + stayMsMax;
  const seen = { lastServedMs: 0, lastPingMs: 0, renewals: 0 };
  let end = 'left';
  try {
    const { sessionId } = await worker.next('welcome');
    void renew(worker).catch(() => undefined);
    void listen(worker).catch(() => undefined);
    void serve(worker, sessionId).catch(() => undefined);
    await Promise.race([
      worker.ended.then(({ code, reason }) => {
        end = `${code} ${reason}`;
      }),
      worker.next('drain', stayMsMax).catch(() => worker.ended),
      pause(leavesAtMs - Date.now()),
    ]);
    const endedAtMs = Date.now();
    tell({ kind: 'visit', visit: { node: node.name, ...seen, expiresAtMs, endedAtMs, end } });
  } catch {
    // It was not let in, or the node went away before it was.
  } finally {
    worker.cut();
  }

  async function renew(stream: RawWorker): Promise<void> {
    for (;;) {
      await stream.next('credentialsNeeded', stayMsMax);
      if (!stays) return;
      [expiresAtMs, token] = await freshToken();
      stream.send({ case: 'credentials', value: { accessToken: token } });
      seen.renewals += 1;
    }
  }

  /** Whatever it is told of anything else, a stream that lives is pinged. */
  async function listen(stream: RawWorker): Promise<void> {
    for (;;) {
      await stream.next('ping', stayMsMax);
      seen.lastPingMs = Date.now();
    }
  }

  async function serve(stream: RawWorker, sessionId: string): Promise<void> {
    for (;;) {
      const { items } = await stream.next('assignments', stayMsMax);
      const atMs = Date.now();
      if (atMs - seen.lastServedMs >= servedMs) tell({ kind: 'served', node: node.name, atMs });
      seen.lastServedMs = atMs;
      const leases = items.map(leaseOf);
      stream.send({ case: 'accepted', value: { leases } });
      const done = leases.map((lease) => {
        const times = { beganMs: atMs, endedMs: Date.now() };
        const stamp: Stamp = { taskId: lease.taskId, sessionId, attempt: lease.attempt, by: name, ...times };
        const data = { case: 'data' as const, value: Buffer.from(JSON.stringify(stamp)) };
        return { lease, output: { value: data, contentType: 'application/json' } };
      });
      stream.send({ case: 'succeeded', value: { items: done } });
    }
  }
}

async function freshToken(): Promise<readonly [expiresAtMs: number, token: string]> {
  const exp = Math.floor(Date.now() / 1_000) + tokenSeconds;
  return [exp * 1_000, await signToken({ issuer, signingKey }, { sub: clientId, client_id: clientId, exp })];
}
