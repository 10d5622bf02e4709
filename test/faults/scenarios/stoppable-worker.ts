import { clientCredentials, Worker } from '@dstc/sdk';

/**
 * A worker in a process of its own, to be stopped and killed. It says when it has a task and when it is told to stop, and
 * ends the task when it is told to, whether or not it may.
 */
export type Told =
  | { readonly kind: 'working'; readonly taskId: string; readonly attempt: number }
  | { readonly kind: 'told to stop'; readonly taskId: string; readonly attempt: number };

process.once('disconnect', () => process.exit(1));
const [address = '', issuer = '', clientId = '', clientSecret = ''] = process.argv.slice(2);
const finish = new Promise<void>((resolve) => process.once('message', () => resolve()));
const tell = (told: Told) => process.send?.(told);
const worker = new Worker({
  address,
  credentials: clientCredentials({ issuer, clientId, clientSecret }),
  concurrency: 1,
  onError: () => undefined,
});
worker.handle('work', async (_, { task, signal }) => {
  const which = { taskId: task.id, attempt: task.attempt };
  signal.addEventListener('abort', () => tell({ kind: 'told to stop', ...which }));
  tell({ kind: 'working', ...which });
  await finish;
  return `attempt ${task.attempt}`;
});
await worker.run();
