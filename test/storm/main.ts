import { bugNames } from './bugs.ts';
import { parseOptions, type StormOptions, usage } from './options.ts';
import { runStorm } from './storm.ts';

const interruptedCode = 130;
// grpc-js names the server it connects to, which here has an address only.
process.noDeprecation = true;

/** Answers with the exit code. */
async function main(options: StormOptions): Promise<number> {
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'disconnect'] as const) process.once(signal, () => interruption.abort());
  if (options.allBugs) return noticeAll(options, interruption.signal);
  const outcome = await runStorm(options, interruption.signal);
  return outcome?.verdict ?? interruptedCode;
}

/** A storm that would pass over a mistake says nothing when it passes. */
async function noticeAll(options: StormOptions, interrupted: AbortSignal): Promise<number> {
  const rows: string[] = [];
  let missed = 0;
  for (const bug of bugNames) {
    const outcome = await runStorm({ ...options, bug }, interrupted);
    if (outcome === undefined) return interruptedCode;
    if (outcome.verdict !== 1) missed += 1;
    rows.push(`${bug.padEnd(24)}${outcome.verdict === 1 ? outcome.broken.join('; ') : 'NOT NOTICED'}`);
  }
  console.log(`${'mistake'.padEnd(24)}noticed by\n${rows.join('\n')}`);
  return missed === 0 ? 0 : 1;
}

try {
  process.exitCode = await main(parseOptions(process.argv.slice(2)));
} catch (error) {
  const isUsage = error instanceof Error && error.message.startsWith('--');
  console.error(isUsage ? `${error.message}\n${usage}` : error);
  // Neither of them says anything about the coordinator.
  process.exitCode = isUsage ? 64 : 70;
} finally {
  // The starter's channel, when there is one, would keep this process.
  if (process.connected) process.disconnect();
}
