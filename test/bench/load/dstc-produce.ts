import { createClient } from '@dstc/sdk';
import { accessFor } from './access.ts';
import { input } from './input.ts';
import { runLoad, settings } from './parent.ts';
import { produce } from './produce.ts';

// A batch producer with the TypeScript SDK: SubmitTasks, each task with an idempotency key.
const { seconds, taskType, keys, tasksPerSecond } = settings();
let number = 0;
const client = createClient(accessFor('producer'));

runLoad(async () => {
  try {
    return await produce(seconds, submit, tasksPerSecond);
  } finally {
    client.close();
  }
});

async function submit(size: number): Promise<void> {
  const results = await client.submitMany(Array.from({ length: size }, submission));
  for (const result of results) if (!result.ok) throw result.error;
}

function submission() {
  number += 1;
  const labels = keys === undefined ? {} : { labels: { tenant: `tenant-${number % keys}` } };
  return { type: taskType, input: input(), ...labels };
}
