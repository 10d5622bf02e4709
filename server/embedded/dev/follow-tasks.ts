import { type Client, isFinal, type Task, type TaskEvent } from '@dstc/sdk';
import type { ExampleTask } from './examples.ts';
import type { Screen } from './screen.ts';
import { seconds } from './screen.ts';
import type { WorkerSessions } from './worker-sessions.ts';

/** How an example task ended. */
export interface Ending {
  readonly task: Task;
  readonly asExpected: boolean;
  readonly attempts: readonly Attempt[];
}

/** One try, and which worker made it. */
export interface Attempt {
  readonly worker: string;
  readonly outcome: 'succeeded' | 'failed' | 'given back';
}

export interface FollowDeps {
  readonly client: Client;
  readonly sessions: WorkerSessions;
  readonly screen: Screen;
}

/** Watches tasks to their ends and tells every attempt as it ends: where it went, and what came of it. */
export async function followTasks(
  deps: FollowDeps,
  tasks: ReadonlyMap<string, ExampleTask>,
  signal: AbortSignal,
): Promise<readonly Ending[]> {
  const endings: Ending[] = [];
  const told = new Map<string, { sequence: number; attempts: Attempt[] }>();
  for await (const { id } of deps.client.watch([...tasks.keys()], { signal })) {
    const example = tasks.get(id);
    if (example === undefined) continue;
    const record = told.get(id) ?? { sequence: 0, attempts: [] };
    told.set(id, record);
    const events = (await deps.client.history(id)).filter(({ sequence }) => sequence > record.sequence);
    // The history may know more than the task that was watched: it was read later.
    const hasEnded = events.some(({ state }) => isFinal(state));
    const task = hasEnded ? await deps.client.get(id) : undefined;
    const asExpected = task === undefined || example.isAsExpected(task);
    for (const event of events) {
      record.sequence = event.sequence;
      const outcome = outcomes[event.kind];
      if (outcome === undefined) continue;
      const worker = event.sessionId === '' ? 'nobody' : await deps.sessions.nameOf(event.sessionId);
      record.attempts.push({ worker, outcome });
      const result = event.kind === 'SUCCEEDED' ? example.outcome(task?.output) : failureText(event);
      deps.screen.line(attemptLine(deps.screen, { event, worker, title: example.title, result, asExpected }));
    }
    if (task !== undefined) endings.push({ task, asExpected, attempts: record.attempts });
  }
  return endings;
}

/** The events that end an attempt. */
const outcomes: Partial<Record<TaskEvent['kind'], Attempt['outcome']>> = {
  SUCCEEDED: 'succeeded',
  FAILED: 'failed',
  RETRY_SCHEDULED: 'failed',
  LEASE_LOST: 'failed',
  RELEASED: 'given back',
};

interface AttemptLine {
  readonly event: TaskEvent;
  readonly worker: string;
  readonly title: string;
  readonly result: string;
  readonly asExpected: boolean;
}

function attemptLine({ style }: Screen, { event, worker, title, result, asExpected }: AttemptLine): string {
  const [word, color] = words[event.kind] ?? ['ended', 'yellow'];
  const note = asExpected ? (event.kind === 'FAILED' ? ' (as it should)' : '') : style('red', ' (NOT as expected)');
  const attempt = event.attempt > 1 ? style('dim', ` [attempt ${event.attempt}]`) : '';
  return `  ${style(color, word.padEnd(9))} ${worker.padEnd(34)} ${title} ${style('dim', '→')} ${result}${attempt}${note}`;
}

const words: Partial<Record<TaskEvent['kind'], readonly [string, 'green' | 'yellow' | 'magenta']>> = {
  SUCCEEDED: ['succeeded', 'green'],
  FAILED: ['failed', 'magenta'],
  RETRY_SCHEDULED: ['retry', 'yellow'],
  LEASE_LOST: ['lost', 'yellow'],
  RELEASED: ['returned', 'yellow'],
};

function failureText({ error, reason, retryDelayMs, attempt }: TaskEvent): string {
  const why = error === undefined ? reason : `${error.code}: ${error.message}`;
  return retryDelayMs === undefined ? why : `${why}; attempt ${attempt + 1} in ${seconds(retryDelayMs)}`;
}
