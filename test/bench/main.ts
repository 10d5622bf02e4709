import { availableParallelism, cpus } from 'node:os';
import { type Figure, figuresOf, requireMeasured, type Sample, us } from './figures.ts';
import { measureIdle } from './measure/idle.ts';
import { measureLatency } from './measure/latency.ts';
import { measureLifecycle } from './measure/lifecycle.ts';
import { measureLimits } from './measure/limits.ts';
import type { Measure, Subject } from './measure/measure.ts';
import { measureRelay } from './measure/relay.ts';
import { measureSubmit } from './measure/submit.ts';
import { measureSubscribe } from './measure/subscribe.ts';
import { type BenchOptions, type FigureKey, parseOptions, usage } from './options.ts';
import { tableOf } from './table.ts';
import { startWorld, type World } from './world.ts';

/** What is measured for each key, and on whom. */
const measures: Readonly<Record<FigureKey, { readonly measure: Measure; readonly compared: readonly Subject[] }>> = {
  d: { measure: measureIdle, compared: [] },
  c: { measure: measureLatency, compared: ['graphile-worker'] },
  a: { measure: measureSubmit, compared: ['graphile-worker'] },
  e: { measure: measureLimits, compared: ['dstc, concurrency', 'dstc, key', 'dstc, rate', 'dstc, all per key'] },
  f: { measure: measureSubscribe, compared: [] },
  g: { measure: measureRelay, compared: [] },
  b: { measure: measureLifecycle, compared: ['graphile-worker', 'graphile-worker, local queue'] },
};

async function main(options: BenchOptions): Promise<void> {
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'disconnect'] as const) process.once(signal, () => interruption.abort());
  let world: World | undefined;
  try {
    world = await startWorld({ ...options, interrupted: interruption.signal });
    const figures = figuresOf(await measureAll(world, options));
    requireMeasured(figures);
    console.log(options.json ? JSON.stringify(await documentOf(world, figures), undefined, 2) : tableOf(figures));
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    console.error('interrupted');
    process.exitCode = 130;
  } finally {
    await world?.stop();
  }
}

/** Run after run, in each of them one system after the other, so that a disturbance of the machine meets all of them. */
async function measureAll(world: World, options: BenchOptions): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let run = 1; run <= options.runs; run += 1) {
    for (const key of Object.keys(measures) as FigureKey[]) {
      if (!options.only.has(key)) continue;
      const { measure, compared } = measures[key];
      for (const subject of [us, ...compared] as Subject[]) {
        if (!options.peer && !subject.startsWith(us)) continue;
        await world.settle();
        const measured = await measure({ world, subject, seconds: options.seconds });
        samples.push(...measured);
        const [first] = measured;
        if (first !== undefined) {
          console.error(`run ${run}: ${first.figure}, ${subject}: ${first.value.toFixed(1)} ${first.unit}`);
        }
      }
    }
  }
  return samples;
}

async function documentOf(world: World, figures: readonly Figure[]) {
  const [row] = await world.sql<{ version: string }[]>`SELECT current_setting('server_version') AS version`;
  const machine = { cores: availableParallelism(), processor: cpus()[0]?.model, node: process.version };
  return { machine: { ...machine, postgres: row?.version }, figures };
}

const options = readOptions(process.argv.slice(2));
try {
  if (options !== undefined) await main(options);
} finally {
  // The starter's channel, when there is one, would keep this process.
  if (process.connected) process.disconnect();
}

function readOptions(args: readonly string[]): BenchOptions | undefined {
  try {
    return parseOptions(args);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    console.error(usage);
    process.exitCode = 2;
    return undefined;
  }
}
