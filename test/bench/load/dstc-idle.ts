import { Worker } from '@dstc/sdk';
import { accessFor } from './access.ts';
import { runLoad, settings } from './parent.ts';

// A worker that waits for work that never comes.
const { seconds, taskType } = settings();
const worker = new Worker({ ...accessFor('worker'), concurrency: 10 });
worker.handle(taskType, () => undefined);
await worker.start();

runLoad(async () => {
  await new Promise((resolve) => {
    setTimeout(resolve, seconds * 1_000);
  });
  await worker.stop();
  return { count: 0, seconds, latenciesMs: [] };
});
