import type { WorkerSession } from '@dstc/sdk';
import { buildCommand, buildRouteMap } from '@stricli/core';
import type { ConnectionFlags } from '../connection.ts';
import type { CliContext } from '../context.ts';
import { parseDurationMs } from '../duration.ts';
import { errorText } from '../error-text.ts';
import { parseStatuses, transientStatusesDefault } from '../exec/exit-status.ts';
import { findProgram } from '../exec/find-program.ts';
import type { Running } from '../exec/run-program.ts';
import { UsageError } from '../exit.ts';
import {
  type CallFlags,
  callAliases,
  callFlags,
  connectionFlags,
  durationFlag,
  integerParser,
  textFlag,
} from '../flags.ts';
import { printMany } from '../output/print.ts';
import type { Screen } from '../output/screen.ts';
import { oneLine, type Painted } from '../output/shown.ts';
import { formatTable } from '../output/table.ts';
import { ageText } from '../output/task-text.ts';

interface ExecFlags extends ConnectionFlags {
  readonly type: readonly string[];
  readonly concurrency: number;
  readonly timeout?: number;
  readonly grace: number;
  readonly transientExitCodes: ReadonlySet<number>;
  readonly contentType?: string;
}

const exec = buildCommand<ExecFlags, string[], CliContext>({
  async func(
    { type: types, concurrency, timeout, grace, transientExitCodes, contentType, ...connection },
    command = '',
    ...args
  ) {
    const { screen, interrupted } = this;
    const { isContentType, Worker } = await import('@dstc/sdk');
    if (contentType !== undefined && !isContentType(contentType)) {
      throw new UsageError(`--content-type "${contentType}" is no media type: write one such as image/png`);
    }
    const program = await findProgram(this.process.env, command);
    const target = await this.target(connection, 'worker');
    const { programHandler } = await import('../exec/program-handler.ts');
    const running: Running = new Set();
    // Programs live in process groups of their own, so nothing else ends them when this process has no time left.
    process.once('exit', () => {
      for (const kill of running) kill();
    });
    const options = {
      command: program,
      args,
      timeoutMs: timeout,
      graceMs: grace,
      transientStatuses: transientExitCodes,
      contentType,
    };
    const news = newsTo(screen);
    const worker = new Worker({
      ...target,
      concurrency,
      name: `dstc worker exec ${command}`,
      onConnected: () => news(`connected to ${target.address}: working on ${types.join(', ')}; Ctrl-C to stop`),
      onDrain: ({ reason }) =>
        news(oneLine(`an operator drains this worker${reason === '' ? '' : `: ${reason}`}; finishing what is begun`)),
      onError: (error) => news(errorText(error)),
    });
    for (const type of types) worker.handle(type, programHandler(options, running));
    await worker.run({ signal: interrupted });
    screen.err('stopped: everything that was begun is finished or given back');
  },
  parameters: {
    flags: {
      ...connectionFlags,
      type: {
        kind: 'parsed',
        parse: String,
        variadic: true,
        placeholder: 'name',
        brief: 'Task type to work on; may be repeated',
      },
      concurrency: {
        kind: 'parsed',
        parse: integerParser(1, 1_000),
        default: '1',
        placeholder: 'n',
        brief: 'Programs running at the same time',
      },
      timeout: durationFlag('Stop a program that runs longer, and try again later'),
      grace: {
        kind: 'parsed',
        parse: parseDurationMs,
        default: '5s',
        placeholder: '5s',
        brief: 'How long a program has between SIGTERM and SIGKILL',
      },
      transientExitCodes: {
        kind: 'parsed',
        parse: parseStatuses,
        default: transientStatusesDefault,
        placeholder: 'list',
        brief: 'Exit statuses that ask for another attempt, such as 1,75',
      },
      contentType: textFlag('type', 'Media type of stdout when it is not JSON, such as image/png'),
    },
    aliases: { t: 'type', c: 'concurrency' },
    positional: {
      kind: 'array',
      minimum: 1,
      parameter: { parse: String, placeholder: 'program', brief: 'Program and its arguments, after --' },
    },
  },
  docs: {
    brief: 'Work with any program',
    customUsage: [
      { input: '--type T -- program args…', brief: 'run the program once for each task' },
      {
        input: '--type word-count --concurrency 4 --timeout 30s -- python3 count.py',
        brief: 'a script, four at a time',
      },
      { input: '--type word-count --transient-exit-codes 1-255 -- ./count.sh', brief: 'try again after every failure' },
    ],
    fullDescription: `Works on tasks of a type by running a program for each one.

  stdin        the input: JSON, or the bytes of another media type
  stdout       the output: JSON, nothing, or another media type with --content-type
  stderr       progress: each line is shown with the task; one such as "40% resizing" also sets the percentage
  environment  DSTC_TASK_ID, DSTC_TASK_TYPE, DSTC_ATTEMPT, DSTC_ATTEMPTS_MAX, DSTC_CONTENT_TYPE (of stdin),
               DSTC_DEPENDENCIES, for a task that depends on others: a file with what became of them, a JSON list of
               {taskId, type, state, output, outputWithheld, error}; other media types are {data (base64), contentType}

What its end means:

  exit status 0              success; stdout that is not JSON fails the task with OUTPUT_NOT_JSON
  exit status 75             transient failure: tried again as the retry policy says (EX_TEMPFAIL of sysexits.h)
  any other exit status      permanent failure with the code EXIT_<status>; --transient-exit-codes changes the list
  killed by a signal         transient failure with the signal's name as its code
  longer than --timeout      transient failure with the code TIMED_OUT

The last lines of stderr become the error message. A cancelled task ends its program with SIGTERM, and with SIGKILL after
the grace. The first Ctrl-C lets programs finish for a while and gives the rest back; the second ends everything at once.`,
  },
});

const list = buildCommand<CallFlags, [], CliContext>({
  async func(flags) {
    const { client } = await this.connect(flags);
    await printMany(this.screen, flags.output, client.workers(), workersText);
  },
  parameters: { flags: callFlags, aliases: callAliases },
  docs: { brief: 'List the workers that are there, and what they hold' },
});

interface DrainFlags extends CallFlags {
  readonly reason?: string;
  readonly within?: number;
}

const drain = buildCommand<DrainFlags, string[], CliContext>({
  async func({ reason, within, ...flags }, ...ids) {
    const { client } = await this.connect(flags);
    const drained: WorkerSession[] = [];
    for (const id of ids) drained.push(await client.drainWorker(id, { reason, withinMs: within }));
    await printMany(this.screen, flags.output, drained, workersText);
  },
  parameters: {
    flags: {
      ...callFlags,
      reason: textFlag('text', 'For the worker and for operators'),
      within: durationFlag('Give what it still holds after this long to others; no attempt is spent'),
    },
    aliases: callAliases,
    positional: {
      kind: 'array',
      minimum: 1,
      parameter: { parse: String, placeholder: 'id', brief: 'Id of a worker, from the list' },
    },
  },
  docs: {
    brief: 'Have workers finish what they hold and stop',
    fullDescription: `Has workers stop in order, whichever coordinator they are connected to: from now on they get no more tasks; they finish
what they hold, or give it back, and end. Saying it again replaces the reason and the time.`,
  },
});

/** `dstc worker …` */
export const workerCommands = buildRouteMap({
  routes: { exec, list, drain },
  docs: { brief: 'Workers: run any program as one, and see who works' },
});

function workersText(workers: readonly WorkerSession[]): Painted {
  const now = new Date();
  return formatTable(
    [
      { title: 'id', value: (worker: WorkerSession) => worker.id },
      { title: 'worker', value: (worker: WorkerSession) => worker.principal },
      { title: 'types', value: (worker: WorkerSession) => Object.keys(worker.slotsByType).join(' ') },
      { title: 'busy', value: (worker: WorkerSession) => `${worker.leases} of ${worker.slots}` },
      { title: 'state', value: (worker: WorkerSession) => (worker.draining ? 'draining' : 'working') },
      { title: 'node', value: (worker: WorkerSession) => worker.node },
      { title: 'age', value: (worker: WorkerSession) => ageText(worker.createTime, now) },
      { title: 'sdk', value: (worker: WorkerSession) => worker.sdk },
    ],
    workers,
  );
}

/** Prints news, but not the same twice in a row: a coordinator that is away is tried again and again. */
function newsTo(screen: Screen): (text: string) => void {
  let last = '';
  return (text) => {
    if (text !== last) screen.err(text);
    last = text;
  };
}
