import { setTimeout as pause } from 'node:timers/promises';
import {
  clientCredentials,
  FatalError,
  InterruptedError,
  PermanentError,
  RetryableError,
  type TaskContext,
  Worker,
} from '@dstc/sdk';
import { joinStorm, settings, tell, tellAll } from './messages.ts';
import { type Plan, type PlanType, planTypes, type Stamp } from './plan.ts';

/** A worker of a storm: does what the plan of a task says, and stamps the output with the lease it ran under. */
joinStorm();
const { name, addresses, ca, issuer, clientId, clientSecret } = settings();
let sessionId = '';
const worker = new Worker({
  addresses,
  credentials: clientCredentials({ issuer, clientId, clientSecret }),
  tls: { ca },
  name,
  concurrency: 40,
  prefetch: 20,
  onConnected(connected) {
    ({ sessionId } = connected);
    tell({ kind: 'session', sessionId, address: connected.address });
    tellAll();
  },
  onError: () => undefined,
});
for (const type of planTypes) if (handles(type)) worker.handle<Plan>(type, follow);
await worker.run();
tellAll();
process.exit(0);

/** One of them helps the guests, who may all be gone. */
function handles(type: PlanType): boolean {
  return type !== 'storm.unary' && (type !== 'storm.guest' || name === 'worker-1');
}

async function follow({ type, ms, failures, isFatal = false }: Plan, context: TaskContext): Promise<Stamp> {
  const { task, signal } = context;
  const found = type === 'storm.haunted' && { found: Buffer.from(task.checkpoint ?? []).toString() };
  const stamp = { taskId: task.id, sessionId, attempt: task.attempt, by: name, beganMs: Date.now(), ...found };
  try {
    await (type === 'storm.long' ? workLong(ms, context) : pause(ms, undefined, { signal }));
  } catch (error) {
    if (isCancel(signal.reason)) tell({ kind: 'told', taskId: task.id, atMs: Date.now() });
    throw error;
  }
  if (type === 'storm.broken') throw new PermanentError('BROKEN', 'it is meant to fail');
  if (isFatal) throw new FatalError('BLOWN', 'it is meant to open the circuit');
  if (task.attempt <= failures) throw new RetryableError('FLAKY', 'it is meant to fail for now', { retryAfterMs: 100 });
  return { ...stamp, endedMs: Date.now() };
}

/** Leaves a checkpoint twice a second, and goes on from that of the attempt before. */
async function workLong(ms: number, { checkpoint, progress, signal }: TaskContext): Promise<void> {
  const found = checkpoint() as { readonly doneMs?: number } | undefined;
  for (let doneMs = found?.doneMs ?? 0; doneMs < ms; doneMs += 500) {
    progress({ percent: (100 * doneMs) / ms, checkpoint: { doneMs } });
    await pause(500, undefined, { signal });
  }
}

function isCancel(reason: unknown): boolean {
  return reason instanceof InterruptedError && reason.interruption === 'CANCELLED';
}
