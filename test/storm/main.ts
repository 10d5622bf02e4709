import { copyFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import postgres from 'postgres';
import { check } from './check.ts';
import { parseOptions, type StormOptions, usage } from './options.ts';
import { tableOf, verdictOf } from './property.ts';
import { rage } from './rage.ts';
import { createRecord, type StormRecord } from './record.ts';
import { startWorld, type World } from './world.ts';

const drainMsMax = 60_000;

/** Answers with the exit code. */
async function main(options: StormOptions): Promise<number> {
  const { seed, minutes, bug } = options;
  console.log(`storm: seed ${seed}, ${minutes} minutes${bug === undefined ? '' : `, with the bug ${bug}`}`);
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'disconnect'] as const) process.once(signal, () => interruption.abort());
  const interrupted = interruption.signal;
  const record = createRecord();
  let world: World | undefined;
  try {
    world = await startWorld(options, record, interrupted);
    await rage({ world, record, interrupted }, options);
    if (!interrupted.aborted) await drain(world, record, interrupted);
    if (interrupted.aborted) return 130;
    const verdict = await judge(world, record, options);
    if (verdict !== 0) await keepLog(world, seed);
    return verdict;
  } catch (error) {
    if (interrupted.aborted) return 130;
    throw error;
  } finally {
    interruption.abort();
    await world?.stop();
  }
}

/** Nothing new comes, and all that was accepted ends. */
async function drain(
  { postgres: database, submitters }: World,
  record: StormRecord,
  interrupted: AbortSignal,
): Promise<void> {
  console.log('healed; draining');
  const deadlineMs = performance.now() + drainMsMax;
  for (const submitter of submitters) submitter.send({ kind: 'stop' });
  const ended = Promise.all(submitters.map((submitter) => submitter.ended()));
  const late = pause(drainMsMax, 'late' as const, { signal: interrupted });
  if ((await Promise.race([ended, late])) === 'late') record.accidents.push('submitters still wait for an answer');
  const sql = postgres(database.url, { max: 1 });
  try {
    while (performance.now() < deadlineMs && !interrupted.aborted) {
      const left = await sql`SELECT 1 FROM task WHERE finished_time IS NULL LIMIT 1`;
      if (left.length === 0) return;
      await pause(200);
    }
  } finally {
    await sql.end();
  }
}

async function judge({ postgres: database }: World, record: StormRecord, options: StormOptions): Promise<0 | 1 | 2> {
  const sql = postgres(database.url, { max: 1 });
  try {
    const properties = await check(sql, record, options.minutes);
    const verdict = verdictOf(properties);
    console.log(`refusals: ${JSON.stringify(Object.fromEntries(record.refusals))}`);
    console.log(`late reports: ${JSON.stringify(Object.fromEntries(record.settlements))}`);
    console.log(tableOf(properties));
    console.log(`${{ 0: 'held', 1: 'BROKEN', 2: 'VOID' }[verdict]}: seed ${options.seed}`);
    return verdict;
  } finally {
    await sql.end();
  }
}

async function keepLog({ logFile }: World, seed: number): Promise<void> {
  const kept = join(tmpdir(), `dstc-storm-${seed}.log`);
  await copyFile(logFile, kept);
  console.log(`what the coordinators logged: ${kept}`);
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
