import { setTimeout as pause } from 'node:timers/promises';
import { clientCredentials } from '@dstc/sdk';
import { createJsonCall, type JsonAnswer } from './json-call.ts';
import { type Hold, joinStorm, type Steering, settings, tell, tellAll } from './messages.ts';
import type { PlanType } from './plan.ts';
import { createRandom } from './random.ts';

/**
 * An operator of a storm, with JSON calls: holds work up by a pause or a forced circuit, and looks at a circuit that opens
 * by itself. Tells from when to when nothing may have been leased.
 */
joinStorm();
const { seed, nodes, ca, issuer, clientId, clientSecret } = settings();
const random = createRandom(seed);
const credentials = clientCredentials({ issuer, clientId, clientSecret });
const deadlineMs = 3_000;
const jsonCall = createJsonCall(ca, 1_000);
const steered: PlanType = 'storm.steered';
const fused: PlanType = 'storm.fused';

type Call = readonly [method: string, body: object];

interface Grip extends Pick<Hold, 'how' | 'type'> {
  readonly hold: Call;
  readonly release: Call;
  readonly msMax: number;
  /** A release that was not answered may be carried out late: until then nothing can be said of the next hold. */
  uncertainUntilMs: number;
}

const grips: readonly Grip[] = [
  {
    how: 'pause of the type',
    type: steered,
    hold: ['TaskTypeService/PauseTaskType', { name: steered, reason: 'stormy' }],
    release: ['TaskTypeService/ResumeTaskType', { name: steered }],
    msMax: 3_000,
    uncertainUntilMs: 0,
  },
  {
    how: 'pause of the namespace',
    type: '',
    hold: ['NamespaceService/PauseNamespace', { reason: 'stormy' }],
    release: ['NamespaceService/ResumeNamespace', {}],
    msMax: 1_000,
    uncertainUntilMs: 0,
  },
  {
    how: 'circuit forced open',
    type: steered,
    hold: ['TaskTypeService/SetTaskTypeCircuit', { name: steered, mode: 'CIRCUIT_MODE_FORCED_OPEN' }],
    release: ['TaskTypeService/SetTaskTypeCircuit', { name: steered, mode: 'CIRCUIT_MODE_AUTOMATIC' }],
    msMax: 3_000,
    uncertainUntilMs: 0,
  },
];
/** What a fault keeps on its way arrives within this time. */
const lateMsMax = 20_000;

let order: Steering | undefined;
process.on('message', (next: Steering) => {
  order = next;
});
tell({ kind: 'ready' });
while (order === undefined) await pause(50);
await Promise.all([steer(), watchCircuit()]);
// Nor must a hold stand for ever that is carried out late.
for (const endMs = performance.now() + lateMsMax; performance.now() < endMs; await pause(2_000)) {
  for (const { release } of grips) await call(release);
}
process.removeAllListeners('disconnect');
tell({ kind: 'done' });
tellAll();
process.disconnect();

function isOver(): boolean {
  return order?.kind === 'stop';
}

async function steer(): Promise<void> {
  while (!isOver()) {
    for (const grip of random.shuffled(grips)) {
      await pause(random.between(100, 1_500));
      if (isOver()) return;
      await holdUp(grip);
    }
  }
}

async function holdUp(grip: Grip): Promise<void> {
  const { how, type, hold, release, msMax } = grip;
  await untilAnswered(hold);
  const fromMs = Date.now();
  await pause(random.between(msMax / 4, msMax));
  if (fromMs > grip.uncertainUntilMs) tell({ kind: 'held', hold: { how, type, fromMs, toMs: Date.now() } });
  const isCertain = await untilAnswered(release);
  if (!isCertain) grip.uncertainUntilMs = Date.now() + lateMsMax;
}

/** Nobody forces this circuit: while it is seen to be open, it stays so until a probe is due. */
async function watchCircuit(): Promise<void> {
  let seen = '';
  for (; !isOver(); await pause(200)) {
    const { body } = await call(['TaskTypeService/GetTaskType', { name: fused }]);
    const fromMs = Date.now();
    const { state, probeTime = '' } = (body as Described).taskType?.status?.circuit ?? {};
    if (state !== 'CIRCUIT_STATE_OPEN' || probeTime === seen) continue;
    seen = probeTime;
    const toMs = Date.parse(probeTime);
    if (toMs > fromMs) tell({ kind: 'held', hold: { how: 'circuit opened by a failure', type: fused, fromMs, toMs } });
  }
}

interface Described {
  readonly taskType?: {
    readonly status?: { readonly circuit?: { readonly state?: string; readonly probeTime?: string } };
  };
}

/** Whether the first call was answered. */
async function untilAnswered(what: Call): Promise<boolean> {
  for (let failures = 0; ; failures += 1) {
    const { code } = await call(what);
    if (code === 'OK') return failures === 0;
    await pause(random.between(50, 300));
  }
}

async function call([method, body]: Call): Promise<JsonAnswer> {
  const node = random.pick(nodes);
  const token = await credentials.token();
  const atMs = Date.now();
  const answer = await jsonCall(node, method, body, { token, deadlineMs });
  tell({ kind: 'call', call: { method, node: node.name, atMs, ms: answer.ms, deadlineMs, code: answer.code } });
  if (answer.code !== 'OK') tell({ kind: 'refused', why: `${answer.code} ${answer.reason}`.trim() });
  return answer;
}
