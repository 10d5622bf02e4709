import { Worker } from '@dstc/sdk';
import { accessFor } from './access.ts';
import { countHandled } from './handling.ts';
import { runLoad, settings } from './parent.ts';

// One worker with the TypeScript SDK on one stream.
const handling = countHandled();
const worker = new Worker({ ...accessFor('worker'), concurrency: 256 });
worker.handle(settings().taskType, () => {
  handling.handled();
  return { done: true };
});
await worker.start();

runLoad(async () => {
  const startMs = performance.now();
  const count = await handling.all;
  // Ends when every result is settled.
  await worker.stop();
  return { count, seconds: (performance.now() - startMs) / 1_000, latenciesMs: [] };
});
