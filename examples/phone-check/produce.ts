import { connectionFor, createClient, TaskFailedError } from '@dstc/sdk';
import type { CheckNumberOutput } from './check-number.ts';
import { phoneCheckTasks } from './tasks.ts';
import { phoneCheckType } from './type.ts';

const operator = createClient(connectionFor('operator'));
await operator.types.apply(await phoneCheckType());
operator.close();

const producer = createClient(connectionFor('producer'));
const tasks = await phoneCheckTasks();
const results = await producer.submitMany(tasks);

let unexpected = 0;
for (const [index, result] of results.entries()) {
  const task = tasks[index];
  if (task === undefined) continue;
  const written = task.input.number;
  if (!result.ok) {
    unexpected += 1;
    console.log(`${written}: not submitted: ${result.error.message}`);
    continue;
  }
  try {
    const found = (await result.handle.result()) as CheckNumberOutput;
    if (task.expect !== 'SUCCEEDED') unexpected += 1;
    console.log(`${written}: ${found.valid ? `${found.e164} ${found.type}` : 'no valid number'} (${found.provider})`);
  } catch (error) {
    if (!(error instanceof TaskFailedError)) throw error;
    if (task.expect !== 'FAILED') unexpected += 1;
    console.log(`${written}: ${error.error.code}: ${error.error.message}`);
  }
}
producer.close();
console.log(`${tasks.length} numbers, ${unexpected} of them with an unexpected end`);
process.exitCode = unexpected === 0 ? 0 : 1;
