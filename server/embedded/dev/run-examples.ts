import type { Client } from '@dstc/sdk';
import { StartError } from '../start-error.ts';
import type { Example, ExampleTask } from './examples.ts';
import { type Ending, type FollowDeps, followTasks } from './follow-tasks.ts';
import { type Screen, seconds, table } from './screen.ts';

/** Submits the tasks of the examples, tells what becomes of them, and whether all ended as expected. */
export async function runExamples(
  deps: FollowDeps,
  examples: readonly Example[],
  signal: AbortSignal,
): Promise<boolean> {
  const { screen } = deps;
  const began = performance.now();
  screen.line();
  screen.line(screen.style('bold', 'Example tasks'));
  const tasks = new Map<string, ExampleTask>();
  for (const example of examples) {
    for (const [id, task] of await submit(deps.client, screen, example)) tasks.set(id, task);
  }
  screen.line();
  screen.line(screen.style('dim', `  ${'attempt'.padEnd(9)} ${'assigned to'.padEnd(34)} task → result`));
  const endings = await followTasks(deps, tasks, signal);
  summarize(screen, endings, performance.now() - began);
  return endings.length === tasks.size && endings.every(({ asExpected }) => asExpected);
}

/** A new start is new work, so the tasks carry no idempotency keys of their own; the client makes one for each. */
async function submit(client: Client, screen: Screen, { about, tasks }: Example): Promise<Map<string, ExampleTask>> {
  const submitted = new Map<string, ExampleTask>();
  const all = await tasks();
  const began = performance.now();
  for (const [index, result] of (await client.submitMany(all.map(({ submission }) => submission))).entries()) {
    const task = all[index];
    if (task === undefined) continue;
    if (!result.ok) throw new StartError(`the task "${task.title}" could not be submitted: ${result.error.message}`);
    submitted.set(result.handle.id, task);
  }
  const type = all[0]?.submission.type ?? '';
  const took = seconds(performance.now() - began);
  screen.line(`  ${screen.style('cyan', 'submitted')} ${all.length} ${type} (${about}) in one call of ${took}`);
  return submitted;
}

function summarize(screen: Screen, endings: readonly Ending[], ms: number): void {
  screen.line();
  screen.line(screen.style('bold', `Summary after ${seconds(ms)}`));
  for (const line of [...table(typeRows(endings)), '', ...table(workerRows(endings))])
    screen.line(`  ${line}`.trimEnd());
}

function typeRows(endings: readonly Ending[]): (string | number)[][] {
  const title = ['task type', 'tasks', 'succeeded', 'failed as they should', 'not as expected', 'attempts', 'retried'];
  const byType = Map.groupBy(endings, ({ task }) => task.type);
  const rows = [...byType].map(([type, all]) => {
    const count = (matches: (ending: Ending) => boolean) => all.filter(matches).length;
    return [
      type,
      all.length,
      count(({ task }) => task.state === 'SUCCEEDED'),
      count(({ task, asExpected }) => task.state === 'FAILED' && asExpected),
      count(({ asExpected }) => !asExpected),
      all.reduce((sum, { attempts }) => sum + attempts.length, 0),
      count(({ attempts }) => attempts.length > 1),
    ];
  });
  return [title, ...rows.toSorted()];
}

function workerRows(endings: readonly Ending[]): (string | number)[][] {
  const byWorker = Map.groupBy(
    endings.flatMap(({ attempts }) => attempts),
    ({ worker }) => worker,
  );
  const rows = [...byWorker].map(([worker, attempts]) => [
    worker,
    attempts.length,
    attempts.filter(({ outcome }) => outcome === 'succeeded').length,
    attempts.filter(({ outcome }) => outcome !== 'succeeded').length,
  ]);
  return [['worker', 'attempts', 'succeeded', 'failed'], ...rows.toSorted()];
}
