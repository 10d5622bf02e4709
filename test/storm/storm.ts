import { copyFile, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import postgres from 'postgres';
import { type BugName, faultsFor } from './bugs.ts';
import { measureInCalm } from './calm.ts';
import { catchUp } from './catch-up.ts';
import { catchUpHooks } from './catch-up-hooks.ts';
import { check } from './check.ts';
import { explain } from './explain.ts';
import { govern } from './governor.ts';
import { measurePeak } from './measure-peak.ts';
import { isBroken, isVoid, tableOf, verdictOf } from './property.ts';
import { rage } from './rage.ts';
import { createRecord, type StormRecord, starvedMs } from './record.ts';
import { startWorld, type World } from './world.ts';

export interface Storm {
  readonly seed: number;
  readonly minutes: number;
  /** Tasks a second; undefined is half of the peak. */
  readonly rate: number | undefined;
  readonly bug: BugName | undefined;
}

export interface Outcome {
  /** 0 held, 1 broken, 2 void. */
  readonly verdict: 0 | 1 | 2;
  /** Names of the properties that did not hold. */
  readonly broken: readonly string[];
}

const drainMsMax = 60_000;
const readyMsMax = 180_000;
/** A shorter storm is to be over sooner. */
const calmFromMinutes = 1;
const rates = { min: 20, max: 1_000 };

/** A storm from its start to its verdict; undefined when it was interrupted. */
export async function runStorm(storm: Storm, interrupted: AbortSignal): Promise<Outcome | undefined> {
  const { seed, minutes, bug } = storm;
  console.log(`storm: seed ${seed}, ${minutes} minutes${bug === undefined ? '' : `, with the bug ${bug}`}`);
  const over = new AbortController();
  const ended = AbortSignal.any([interrupted, over.signal]);
  const record = createRecord();
  let world: World | undefined;
  try {
    world = await startWorld(storm, record, ended);
    console.log(`${world.clock}; ${world.natsVersion}`);
    await everybodyIsThere(world, record, ended);
    const rate = storm.rate ?? (await halfOfPeak(world, ended));
    console.log(`${rate} tasks a second`);
    const stopGoverning = govern(world, rate);
    try {
      world.operator.send({ kind: 'steer' });
      world.receiver.send({ kind: 'misbehave' });
      const first = (bug && faultsFor[bug]) ?? [];
      await rage({ world, record, interrupted: ended }, { seed, minutes, first });
      world.operator.send({ kind: 'stop' });
      world.receiver.send({ kind: 'behave' });
      if (minutes >= calmFromMinutes) {
        console.log('healed; measuring in calm');
        await measureInCalm(world, record, ended);
      }
    } finally {
      await stopGoverning();
    }
    await drain(world, record, ended);
    return interrupted.aborted ? undefined : await judge(world, record, storm);
  } catch (error) {
    if (interrupted.aborted) return undefined;
    throw error;
  } finally {
    over.abort();
    await world?.stop();
  }
}

async function everybodyIsThere(
  { workers, submitters, operator, receiver }: World,
  record: StormRecord,
  ended: AbortSignal,
): Promise<void> {
  const listeners = [operator, receiver, ...submitters];
  const deadlineMs = performance.now() + readyMsMax;
  const isMissing = () =>
    record.ready.size < listeners.length || new Set(record.workerOfSession.values()).size < workers.length;
  while (isMissing()) {
    if (performance.now() > deadlineMs) throw new Error('not everybody has come');
    await pause(50, undefined, { signal: ended });
  }
}

async function halfOfPeak(world: World, ended: AbortSignal): Promise<number> {
  const peak = await measurePeak(world, ended);
  const rate = Math.round(Math.min(rates.max, Math.max(rates.min, peak / 2)));
  console.log(`the peak here is ${Math.round(peak)} tasks a second, from submission to end`);
  return rate;
}

/** Nothing new comes, all that was accepted ends, and all that has happened is told. */
async function drain(
  { postgres: database, submitters, operator, receiver }: World,
  record: StormRecord,
  ended: AbortSignal,
): Promise<void> {
  console.log('draining');
  const sinceMs = performance.now();
  const hasTime = () => {
    const tookMs = performance.now() - sinceMs;
    return tookMs < drainMsMax || (tookMs < 3 * drainMsMax && isStarved(record));
  };
  let areGone = false;
  for (const submitter of submitters) submitter.send({ kind: 'stop' });
  void Promise.all([operator, ...submitters].map((member) => member.ended())).then(() => {
    areGone = true;
  });
  const sql = postgres(database.url, { max: 1 });
  try {
    while (hasTime()) {
      const left = await sql`SELECT 1 FROM task WHERE finished_time IS NULL LIMIT 1`;
      if (left.length === 0 && areGone) break;
      await pause(200, undefined, { signal: ended });
    }
    const time = { hasTime, ended };
    await Promise.all([catchUp(sql, record, time), catchUpHooks({ sql, record, receiver }, time)]);
    if (!areGone) record.accidents.push('submitters or the operator still wait for an answer');
  } finally {
    await sql.end();
  }
}

/** A machine that is this busy with others says nothing about how long a drain takes. */
function isStarved(record: StormRecord): boolean {
  const names = [...new Set(record.stalls.map(({ name }) => name))];
  const now = Date.now();
  return names.some((name) => starvedMs(record, [name], now - drainMsMax, now) > drainMsMax / 6);
}

async function judge({ postgres: database, logFile }: World, record: StormRecord, storm: Storm): Promise<Outcome> {
  const sql = postgres(database.url, { max: 1 });
  try {
    const [coordinators, ofPostgres] = await Promise.all([
      readFile(logFile, 'utf8'),
      readFile(database.logFile, 'utf8'),
    ]);
    const properties = await check(sql, record, {
      minutes: storm.minutes,
      logs: { coordinators, postgres: ofPostgres },
    });
    const verdict = verdictOf(properties);
    console.log(tableOf(properties));
    if (verdict === 1) console.log(await explain(sql, properties));
    for (const property of properties.filter(isVoid)) {
      const { name, samples, samplesMin } = property;
      console.log(`too little to say: "${name}" was seen ${samples} times, not ${samplesMin}`);
    }
    console.log(`${{ 0: 'held', 1: 'BROKEN', 2: 'VOID' }[verdict]}: seed ${storm.seed}`);
    if (verdict !== 0) {
      console.log(`what the coordinators logged: ${await kept(logFile, storm.seed)}`);
      console.log(`what Postgres logged: ${await kept(database.logFile, storm.seed)}`);
    }
    return { verdict, broken: properties.filter(isBroken).map(({ name }) => name) };
  } finally {
    await sql.end();
  }
}

async function kept(logFile: string, seed: number): Promise<string> {
  const copy = join(tmpdir(), `dstc-storm-${seed}-${basename(logFile)}`);
  await copyFile(logFile, copy);
  return copy;
}
