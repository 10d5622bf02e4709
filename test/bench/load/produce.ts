import { setTimeout as pause } from 'node:timers/promises';
import type { LoadResult } from './messages.ts';
import { onMessage } from './parent.ts';

const batchSize = 500;
const batchesInFlight = 2;
/** At a steady rate, batches come this often. */
const pacedMs = 20;
/** Enough that no worker waits for a batch, few enough that the end of the load is not all worker. */
const backlogMax = 4_000;

/** Submits batches for some seconds, waiting where the worker has fallen behind. */
export async function produce(
  seconds: number,
  submit: (size: number) => Promise<unknown>,
  tasksPerSecond?: number,
): Promise<Omit<LoadResult, 'kind'>> {
  let handled = 0;
  let submitted = 0;
  let progress = Promise.withResolvers<void>();
  onMessage((message) => {
    if (message.kind !== 'handled') return;
    handled = message.count;
    progress.resolve();
    progress = Promise.withResolvers();
  });
  const startMs = performance.now();
  const endMs = startMs + seconds * 1_000;
  const size = tasksPerSecond === undefined ? batchSize : Math.ceil((tasksPerSecond * pacedMs) / 1_000);

  async function submitter(): Promise<void> {
    while (performance.now() < endMs) {
      if (submitted - handled >= backlogMax) {
        await progress.promise;
        continue;
      }
      const waitMs =
        tasksPerSecond === undefined ? 0 : startMs + (submitted / tasksPerSecond) * 1_000 - performance.now();
      if (waitMs > 0) {
        await pause(waitMs);
        continue;
      }
      submitted += size;
      await submit(size);
    }
  }

  await Promise.all(Array.from({ length: batchesInFlight }, submitter));
  return { count: submitted, seconds, latenciesMs: [] };
}
