import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { expectSoundHistories, one, race, story } from './command.ts';
import { drawOne, drawOutage, drawRace } from './draw.ts';
import { emptyModel } from './model.ts';
import { type System, startSystem } from './system.ts';

/** `MODEL_RUNS=1000` for a night; `TEST_SEED` brings a run back. */
const runs = Number(process.env.MODEL_RUNS ?? 30);
const seed = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** So that a run has something to be about from its first command on; two of the tasks depend on the first one. */
const beginning = (
  [
    ...(['open session', 'open session', 'submit'] as const).map((kind) => ({ kind, roll: 2 })),
    ...[10, 11].map((roll) => ({ kind: 'submit' as const, roll })),
    ...(['submit', 'claim'] as const).map((kind) => ({ kind, roll: 2 })),
  ] as const
).map(({ kind, roll }, n) => one({ kind, which: n, how: n, roll }));
/** Events, answers and races that no run of any size is without, or it would say too little. */
const mustBeSeen = [
  ...['leased', 'started', 'succeeded', 'retry_scheduled', 'failed', 'released', 'cancelled', 'paused', 'redriven'],
  ...['claim: tasks', 'claim: nothing', 'accept: stale', 'fail: lease lost', 'fail: recorded PENDING'],
  ...['succeed: recorded SUCCEEDED', 'redrive: STATE_CONFLICT', 'race of two', 'race of three'],
  ...['dependent: freed', 'dependent: cancelled', 'dependent: waits for more'],
  ...['circuit: opened by the share', 'circuit: CLOSED to OPEN', 'circuit: OPEN to HALF_OPEN'],
  ...['circuit: HALF_OPEN to CLOSED', 'circuit: HALF_OPEN to OPEN'],
];
/** Of an outage there is so much to tell that few will do. */
const often = Array.from({ length: 2 }, () => [
  ...Array.from({ length: 3 }, () => drawOne.map(one)),
  drawRace.map(race),
]);
let system: System;

beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.close());

test(
  'whatever happens in whatever order, also at the same time, the system is what the model says',
  async () => {
    console.log(`model: TEST_SEED=${seed} MODEL_RUNS=${runs}`);
    const seen = new Map<string, number>();
    const commands = fc.commands([...often.flat(), drawOutage.map(story)], { maxCommands: 80, size: 'max' });
    await fc.assert(
      fc.asyncProperty(commands, async (list) => {
        const run = { model: emptyModel(), seen };
        await system.clear();
        for (const command of beginning) await command.run(run, system);
        await fc.asyncModelRun(() => ({ model: run, real: system }), list);
        await expectSoundHistories(run, system);
      }),
      // To make a failure smaller takes time, and a test that is cut off says nothing.
      { seed, numRuns: runs, interruptAfterTimeLimit: runs * 3_000 },
    );
    if (process.env.MODEL_RUNS !== undefined) console.log(Object.fromEntries([...seen].toSorted()));
    expect(mustBeSeen.filter((what) => !seen.has(what))).toEqual([]);
  },
  runs * 6_000,
);
