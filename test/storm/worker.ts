import { setTimeout as pause } from 'node:timers/promises';
import { clientCredentials, PermanentError, RetryableError, type TaskContext, Worker } from '@dstc/sdk';
import { endWithStorm, settings, tell } from './messages.ts';
import { type Plan, planTypes, type Stamp } from './plan.ts';

/** A worker of a storm: does what the plan of a task says, and stamps the output with the lease it ran under. */
endWithStorm();
const { name, addresses, issuer, clientId, clientSecret } = settings();
let sessionId = '';
const worker = new Worker({
  addresses,
  credentials: clientCredentials({ issuer, clientId, clientSecret }),
  name,
  concurrency: 20,
  prefetch: 5,
  onConnected(connected) {
    ({ sessionId } = connected);
    tell({ kind: 'session', sessionId });
  },
  onError: () => undefined,
});
for (const type of planTypes) worker.handle<Plan>(type, follow);
await worker.run();
process.exit(0);

async function follow({ type, ms, failures }: Plan, { task, signal }: TaskContext): Promise<Stamp> {
  const stamp = { taskId: task.id, sessionId, attempt: task.attempt, by: name };
  await pause(ms, undefined, { signal });
  if (type === 'storm.broken') throw new PermanentError('BROKEN', 'it is meant to fail');
  if (task.attempt <= failures) throw new RetryableError('FLAKY', 'it is meant to fail for now', { retryAfterMs: 100 });
  return stamp;
}
