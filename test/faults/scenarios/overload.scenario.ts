import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema } from '@dstc/contract/google/rpc/error_details_pb';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkHistory } from '../../setup/check-history.ts';
import type { CoordinatorProcess } from '../../setup/coordinator-process.ts';
import { figure, startWorld, type World } from './world.ts';

let world: World;
beforeEach(async () => {
  world = await startWorld();
});
afterEach(() => world.stop());

const queueMax = 1_000;
const callers = 200;

test('ten times the usual load with slow workers: the surplus is refused, accepted calls stay fast, and afterwards all is as before', async () => {
  const [node] = (await world.nodes(1)) as [CoordinatorProcess];
  // About 100 tasks a second.
  const load = await world.load([node], { taskMs: 100, worker: { concurrency: 10 } });
  const { tasks, types } = await world.operator(node);
  await types.applyTaskType({ taskType: { name: 'work', limits: { queueMax } } });
  const accepted: string[] = [];
  const refusals = new Map<string, number>();

  /** Submits by as many callers for so long; the times of accepted calls in ms, sorted. */
  async function flood(count: number, ms: number): Promise<number[]> {
    const tookMs: number[] = [];
    const untilMs = performance.now() + ms;
    const caller = async () => {
      while (performance.now() < untilMs) {
        const askedMs = performance.now();
        try {
          const { task } = await tasks.submitTask({ type: 'work' });
          tookMs.push(performance.now() - askedMs);
          accepted.push(task?.id ?? '');
        } catch (error) {
          const why = refusalOf(error);
          refusals.set(why, (refusals.get(why) ?? 0) + 1);
        }
      }
    };
    await Promise.all(Array.from({ length: count }, caller));
    return tookMs.toSorted((a, b) => a - b);
  }

  const before = await flood(1, 5_000);
  const during = await flood(callers, 20_000);
  await load.untilEnded(world.sql, 60_000);
  const afterwards = await flood(1, 5_000);
  await load.untilEnded(world.sql, 60_000);
  const refused = [...refusals.values()].reduce((sum, count) => sum + count, 0);
  figure('median of a submission before', at(before, 0.5), 'ms');
  figure(`submissions accepted of ${during.length + refused}, by ${callers} callers in 20 s`, during.length, '');
  figure('median of those accepted during the flood', at(during, 0.5), 'ms');
  figure('99th percentile of those accepted during the flood', at(during, 0.99), 'ms');
  figure('median of a submission afterwards', at(afterwards, 0.5), 'ms');
  expect([...refusals.keys()].filter((why) => !/^ResourceExhausted (QUEUE_FULL|OVERLOADED)$/.test(why))).toEqual([]);
  expect(refused).toBeGreaterThan(10 * during.length);
  expect(at(during, 0.99)).toBeLessThan(2_000);
  expect(at(afterwards, 0.5)).toBeLessThan(5 * at(before, 0.5) + 20);
  expect(await checkHistory(world.sql, accepted)).toMatchObject({ attemptMax: 1 });
});

function refusalOf(error: unknown): string {
  if (!(error instanceof ConnectError)) throw error;
  return `${Code[error.code]} ${error.findDetails(ErrorInfoSchema)[0]?.reason}`;
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
}
