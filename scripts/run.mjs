import { resolve } from 'node:path';
import { prepare } from './prepare.mjs';
import { repository } from './repository.mjs';
import { runOn } from './run-on.mjs';
import { StepFailed } from './slow-step.mjs';

/**
 * `node scripts/run.mjs [entry.ts [arguments]]`: prepares the clone and runs the entry, or only prepares. Plain JavaScript
 * for Node 18, because it runs before anything newer is there.
 */
async function main([entry, ...args]) {
  const node = await prepare();
  return entry === undefined ? 0 : runOn(node, [resolve(repository, entry), ...args]);
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error) => {
    process.stderr.write(`${error instanceof StepFailed ? error.message : error.stack}\n`);
    process.exit(1);
  },
);
