import { setTimeout as pause } from 'node:timers/promises';
import { clientCredentials } from '@dstc/sdk';
import { createJsonCall, type JsonAnswer } from './json-call.ts';
import { joinStorm, settings, tell, tellAll } from './messages.ts';
import type { Plan, Stamp } from './plan.ts';
import { createRandom } from './random.ts';

/** A worker of a storm without a stream: JSON calls alone, each with a deadline that only the coordinator keeps. */
joinStorm();
const { name, seed, nodes, ca, issuer, clientId, clientSecret } = settings();
const random = createRandom(seed);
const credentials = clientCredentials({ issuer, clientId, clientSecret });
const jsonCall = createJsonCall(ca);
let isStopping = false;
process.once('SIGTERM', () => {
  isStopping = true;
});

interface Assignment {
  readonly lease: { readonly taskId: string; readonly attempt: number; readonly leaseId: string };
  readonly input: { readonly json: Plan };
}

interface Session {
  readonly sessionId: string;
  readonly resumeSecret: string;
}

let session: Session | undefined;
while (!isStopping) {
  const answer = await call('LeaseTasks', {
    // An answer that was lost may have given it something.
    ...(session !== undefined && { session, held: { leases: [] } }),
    taskTypes: ['storm.unary'],
    tasksMax: 5,
    wait: '1s',
  });
  if (answer.code !== 'OK') {
    // A session that has ended is followed by another one.
    if (answer.reason === 'SESSION_NOT_FOUND') session = undefined;
    else await pause(random.between(50, 300));
    continue;
  }
  const got = answer.body as unknown as { readonly session: Session; readonly assignments?: readonly Assignment[] };
  if (got.session.sessionId !== session?.sessionId) {
    tell({ kind: 'session', sessionId: got.session.sessionId, address: '' });
    tellAll();
  }
  session = got.session;
  await work(session, got.assignments ?? []);
}
tellAll();
process.exit(0);

async function work(from: Session, assignments: readonly Assignment[]): Promise<void> {
  if (assignments.length === 0) return;
  const { json } = assignments[0]?.input ?? {};
  const beganMs = Date.now();
  await pause(json?.ms ?? 0);
  const items = assignments.map(({ lease }) => {
    const times = { beganMs, endedMs: Date.now() };
    const stamp: Stamp = {
      taskId: lease.taskId,
      sessionId: from.sessionId,
      attempt: lease.attempt,
      by: name,
      ...times,
    };
    return { lease, output: { json: stamp } };
  });
  // What it has done is reported until it is settled, or until the session that had the lease is gone.
  for (;;) {
    const held = assignments.map(({ lease }) => lease);
    await call('ExtendLeases', { session: from, held });
    const answer = await call('ReportTasks', { session: from, succeeded: { items } });
    if (answer.code === 'OK' || answer.reason === 'SESSION_NOT_FOUND') return;
    await pause(random.between(50, 300));
  }
}

async function call(method: string, body: object): Promise<JsonAnswer> {
  const node = random.pick(nodes);
  const deadlineMs = Math.round(random.between(1_500, 4_000));
  const token = await credentials.token();
  const atMs = Date.now();
  const answer = await jsonCall(node, `WorkerService/${method}`, body, { token, deadlineMs });
  tell({ kind: 'call', call: { method, node: node.name, atMs, ms: answer.ms, deadlineMs, code: answer.code } });
  if (answer.code !== 'OK' && answer.reason !== 'SESSION_NOT_FOUND') {
    tell({ kind: 'refused', why: `${answer.code} ${answer.reason}`.trim() });
  }
  return answer;
}
