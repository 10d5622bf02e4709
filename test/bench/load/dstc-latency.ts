import { createClient, Worker } from '@dstc/sdk';
import { accessFor } from './access.ts';
import { measureLatency } from './latency.ts';
import { runLoad, settings } from './parent.ts';

// Client and worker of the TypeScript SDK in one process, on a connection each.
const { seconds, taskType } = settings();
const latency = measureLatency();
const client = createClient(accessFor('producer'));
const worker = new Worker({ ...accessFor('worker'), concurrency: 10 });
worker.handle<{ number: number }>(taskType, ({ number }) => latency.handlerStarted(number));
await worker.start();

runLoad(async () => {
  try {
    return await latency.run(seconds, (number) => client.submit(taskType, { number }));
  } finally {
    await worker.stop();
    client.close();
  }
});
