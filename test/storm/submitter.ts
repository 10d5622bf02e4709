import { setTimeout as pause } from 'node:timers/promises';
import { clientCredentials, createClient } from '@dstc/sdk';
import { createJsonCall, type JsonAnswer } from './json-call.ts';
import { joinStorm, type Order, settings, tell, tellAll } from './messages.ts';
import { type Item, type Receipt, submitWithJson, submitWithSdk } from './parcel.ts';
import { drawPlan, endOf, quickPlan } from './plan.ts';
import { createRandom } from './random.ts';

/**
 * A producer of a storm: one task at a time and batches, over both doors. It tells what it is about to send and what it was
 * answered, tries again with the same key, and wants some of its tasks cancelled.
 */
joinStorm();
const { name, seed, addresses, nodes, ca, issuer, clientId, clientSecret } = settings();
const random = createRandom(seed);
const credentials = clientCredentials({ issuer, clientId, clientSecret });
const clients = addresses.map((address) => createClient({ address, credentials, tls: { ca }, timeoutMs: 4_000 }));
const jsonCall = createJsonCall(ca);
const underWay = new Set<Promise<unknown>>();
/** More parcels than this wait while nobody answers, and the rest is not sent. */
const underWayMax = 40;
const burstParcels = 15;
const tickMs = 20;
let order: Order = { kind: 'rate', rate: 0, rateOfAll: 0 };
let count = 0;
process.on('message', (next: Order) => {
  order = next;
});
tell({ kind: 'ready' });

type Submit = (items: readonly Item[]) => Promise<Receipt[]>;
const withSdk: Submit = (items) => submitWithSdk(random.pick(clients), items);
const withJson: Submit = (items) => submitWithJson(callWithDeadline, items);

let credit = 0;
let lastMs = performance.now();
for (;;) {
  const now = order as Order;
  if (now.kind === 'stop') break;
  const elapsedMs = performance.now() - lastMs;
  lastMs += elapsedMs;
  if (now.kind === 'burst') {
    while (underWay.size < burstParcels) send(10_000);
    await Promise.race(underWay);
    continue;
  }
  // What could not be sent for a second is not made up for.
  credit = Math.min(credit + (elapsedMs * now.rate) / 1_000, now.rate);
  while (credit >= 1) credit -= send(now.rateOfAll);
  await pause(tickMs);
}
await Promise.all(underWay);
for (const client of clients) client.close();
process.removeAllListeners('disconnect');
tell({ kind: 'done' });
tellAll();
process.disconnect();

/** Sends a parcel on its way and answers with how many tasks are in it. */
function send(rateOfAll: number): number {
  const size = random.next() < 0.1 ? 5 + Math.floor(random.next() * 26) : 1;
  if (underWay.size >= underWayMax) return size;
  const isBurst = order.kind === 'burst';
  const items = Array.from({ length: size }, () => {
    count += 1;
    return { key: `${name} ${count}`, plan: isBurst ? quickPlan(random) : drawPlan(random, rateOfAll) };
  });
  const isJson = random.next() < 0.25;
  const sending = deliver(isJson && size > 1 ? withDependent(items) : items, isJson ? withJson : withSdk);
  const settled: Promise<unknown> = sending.finally(() => underWay.delete(settled));
  underWay.add(settled);
  return size;
}

/** The last task of a parcel waits for three of the others. */
function withDependent(items: readonly Item[]): readonly Item[] {
  const others = items.slice(0, -1).map(({ key }) => key);
  const after = random.shuffled(others).slice(0, 3);
  return items.map((item, index) => (index < others.length ? item : { ...item, plan: quickPlan(random), after }));
}

async function deliver(items: readonly Item[], submit: Submit): Promise<void> {
  for (const { key, plan, after = [] } of items) {
    tell({ kind: 'sent', key, type: plan.type, delayMs: plan.delayMs, end: endOf(plan), after });
  }
  const ids = await untilAcknowledged(items, submit);
  const after: Promise<unknown>[] = items.map((item) => cancelLater(item, ids.get(item.key) ?? ''));
  // Now and then a producer does not know that it was answered.
  if (random.next() < 0.03) after.push(untilAcknowledged(items, submit));
  const [first] = items;
  // Or it takes the key of one task for another one.
  if (random.next() < 0.02 && first !== undefined) after.push(contradict(first, submit));
  await Promise.all(after);
}

async function untilAcknowledged(items: readonly Item[], submit: Submit): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  for (let failures = 0; ; failures += 1) {
    const isWhole = items.some(({ after }) => after !== undefined);
    const missing = isWhole ? items : items.filter(({ key }) => !ids.has(key));
    for (const receipt of await submit(missing)) {
      tell(receipt);
      if (receipt.kind === 'acknowledged') ids.set(receipt.key, receipt.id);
    }
    if (ids.size === items.length) return ids;
    await pause(backoffMs(failures));
  }
}

async function contradict({ key, plan }: Item, submit: Submit): Promise<void> {
  const [receipt] = await submit([{ key, plan: { ...plan, ms: plan.ms + 1 } }]);
  if (receipt === undefined) return;
  const answer = receipt.kind === 'refused' ? receipt.why : `the task ${receipt.id}`;
  tell({ kind: 'conflict', key, answer });
}

async function cancelLater({ key, plan }: Item, id: string): Promise<void> {
  if (plan.cancelMs === null) return;
  await pause(plan.cancelMs);
  tell({ kind: 'cancelling', key });
  for (let failures = 0; ; failures += 1) {
    const { code, reason } = await callWithDeadline('TaskService/CancelTask', { id, reason: 'stormy', grace: '2s' });
    // It may have ended before.
    if (code === 'OK' || code === 'FAILED_PRECONDITION') return;
    tell({ kind: 'refused', why: `${code} ${reason}`.trim() });
    await pause(backoffMs(failures));
  }
}

function backoffMs(failures: number): number {
  return random.between(50, Math.min(100 * 2 ** (failures + 1), 3_000));
}

async function callWithDeadline(method: string, body: object): Promise<JsonAnswer> {
  const node = random.pick(nodes);
  const deadlineMs = Math.round(random.between(500, 4_000));
  const token = await credentials.token();
  const atMs = Date.now();
  const answer = await jsonCall(node, method, body, { token, deadlineMs });
  tell({ kind: 'call', call: { method, node: node.name, atMs, ms: answer.ms, deadlineMs, code: answer.code } });
  return answer;
}
