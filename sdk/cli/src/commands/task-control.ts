import type { Client, ControlManyOptions, ControlManyResult, Task, TaskFilter } from '@dstc/sdk';
import { buildCommand, type FlagParametersForType } from '@stricli/core';
import type { CliContext } from '../context.ts';
import { UsageError } from '../exit.ts';
import { type FilterFlags, filterAliases, filterFlags, filterOfFlags } from '../filter-flags.ts';
import { type CallFlags, callAliases, callFlags, durationFlag, textFlag } from '../flags.ts';
import { type InputFlags, readInput } from '../input.ts';
import { printMany, printOne } from '../output/print.ts';
import { startProgressBar } from '../output/progress-bar.ts';
import type { Painted } from '../output/shown.ts';
import { formatFields } from '../output/table.ts';
import { tasksText } from '../output/task-text.ts';

/** Flags of every command that steers tasks, named by ids or by a filter. */
interface ControlFlags extends CallFlags, FilterFlags {
  readonly reason?: string;
  readonly all?: boolean;
  readonly dryRun?: boolean;
}

const controlFlags: FlagParametersForType<ControlFlags, CliContext> = {
  ...callFlags,
  ...filterFlags,
  reason: textFlag('text', 'For the history'),
  all: { kind: 'boolean', optional: true, withNegated: false, brief: 'Every one in the namespace' },
  dryRun: {
    kind: 'boolean',
    optional: true,
    withNegated: false,
    brief: 'With a filter: count what would be changed, and change nothing',
  },
};

const aliases = { ...callAliases, ...filterAliases };
const anyIds = {
  kind: 'array',
  parameter: { parse: String, placeholder: 'id', brief: 'Id of a task' },
} as const;

/** What a command does to one task, and to all that match. */
interface Control {
  readonly one: (client: Client, id: string) => Promise<Task>;
  readonly many: (
    client: Client,
    filter: TaskFilter | 'all',
    options: ControlManyOptions,
  ) => Promise<ControlManyResult>;
}

async function steer(
  context: CliContext,
  flags: ControlFlags,
  ids: readonly string[],
  control: Control,
): Promise<void> {
  const { screen } = context;
  const filter = flags.all ? 'all' : filterOfFlags(flags);
  if (ids.length > 0 === (filter !== undefined)) {
    throw new UsageError('say which tasks: either ids, or a filter such as --type or --label, or --all');
  }
  if (filter === undefined) {
    if (flags.dryRun) throw new UsageError('--dry-run is for a filter');
    const { client } = await context.connect(flags);
    const tasks: Task[] = [];
    for (const id of ids) tasks.push(await control.one(client, id));
    return printMany(screen, flags.output, tasks, (all) => tasksText(screen.colors, all, new Date()));
  }
  if (flags.all && filterOfFlags(flags) !== undefined) throw new UsageError('--all takes no filter beside it');
  const { client } = await context.connect(flags);
  const result = await steerMany(context, flags, (options) => control.many(client, filter, options));
  printOne(screen, flags.output, { ...result, dryRun: flags.dryRun ?? false }, resultText);
}

/** With a bar for a person who watches, as a dry run counts quickly. */
async function steerMany(
  { screen, interrupted: signal }: CliContext,
  { reason, dryRun }: ControlFlags,
  run: (options: ControlManyOptions) => Promise<ControlManyResult>,
): Promise<ControlManyResult> {
  const options = { reason, signal, pageSize: 1_000 };
  if (dryRun || !screen.isWatched) return run({ ...options, dryRun });
  const { matched } = await run({ ...options, dryRun: true });
  const bar = startProgressBar(screen, matched, 'steering');
  try {
    return await run({ ...options, onProgress: (soFar) => bar.update(soFar.matched) });
  } finally {
    bar.stop();
  }
}

function resultText({
  matched,
  changed,
  sampleIds,
  dryRun,
}: ControlManyResult & { readonly dryRun: boolean }): Painted {
  const more = changed > sampleIds.length ? ' …' : '';
  return formatFields([
    ['matched', String(matched)],
    [dryRun ? 'would change' : 'changed', String(changed)],
    ['such as', sampleIds.length === 0 ? undefined : `${sampleIds.join(' ')}${more}`],
  ]);
}

/** `dstc task cancel` */
export const cancel = buildCommand<ControlFlags & { readonly grace?: number }, string[], CliContext>({
  func(flags, ...ids) {
    const { reason, grace: graceMs } = flags;
    return steer(this, flags, ids, {
      one: (client, id) => client.cancel(id, { reason, graceMs }),
      many: (client, filter, options) => client.cancelMany(filter, { ...options, graceMs }),
    });
  },
  parameters: {
    flags: { ...controlFlags, grace: durationFlag('How long the worker of a running task has to stop') },
    aliases,
    positional: anyIds,
  },
  docs: { brief: 'Cancel tasks; a running one is asked to stop' },
});

/** `dstc task pause` */
export const pause = simple('Keep tasks from being started until they are resumed', {
  one:
    ({ reason }) =>
    (client, id) =>
      client.pause(id, { reason }),
  many: (client, filter, options) => client.pauseMany(filter, options),
});

/** `dstc task resume` */
export const resume = simple('Let paused tasks be started again', {
  one:
    ({ reason }) =>
    (client, id) =>
      client.resume(id, { reason }),
  many: (client, filter, options) => client.resumeMany(filter, options),
});

/** `dstc task skip` */
export const skip = simple('End tasks that wait or have failed as if their work were done', {
  one:
    ({ reason }) =>
    (client, id) =>
      client.skip(id, { reason }),
  many: (client, filter, options) => client.skipMany(filter, options),
});

/** `dstc task discard` */
export const discard = simple('Give dead letters up', {
  one:
    ({ reason }) =>
    (client, id) =>
      client.discard(id, { reason }),
  many: (client, filter, options) => client.discardMany(filter, options),
});

interface RedriveFlags extends ControlFlags, InputFlags {
  readonly delay?: number;
  readonly rate?: number;
}

/** `dstc task redrive` */
export const redrive = buildCommand<RedriveFlags, string[], CliContext>({
  async func(flags, ...ids) {
    const { reason, delay: delayMs, rate: tasksPerSecond } = flags;
    const input = await readInput(this.process.stdin, flags, false);
    if (ids.length > 0 && tasksPerSecond !== undefined) throw new UsageError('--rate is for a filter');
    if (ids.length !== 1 && input !== undefined) throw new UsageError('another input is for one task: give its id');
    if (ids.length === 0 && delayMs !== undefined) throw new UsageError('--delay is for ids; a filter takes --rate');
    await steer(this, flags, ids, {
      one: (client, id) => client.redrive(id, { reason, delayMs, input }),
      many: (client, filter, options) => client.redriveMany(filter, { ...options, tasksPerSecond }),
    });
  },
  parameters: {
    flags: {
      ...controlFlags,
      delay: durationFlag('With ids: not started before this much time has passed'),
      rate: {
        kind: 'parsed',
        parse: parseRate,
        optional: true,
        placeholder: 'tasks/s',
        brief: 'With a filter: at most this many are due in a second',
      },
      input: textFlag('json', 'With one id: takes the place of its input'),
      inputFile: textFlag('file', 'The same from a file; - reads stdin'),
      contentType: textFlag('type', 'Media type of the file when it is not JSON'),
    },
    aliases,
    positional: anyIds,
  },
  docs: {
    brief: 'Put dead letters back in the queue',
    customUsage: [
      { input: '--type email.send --error-code TIMEOUT --dry-run', brief: 'count those that timed out' },
      { input: '--type email.send --error-code TIMEOUT --rate 50', brief: 'redrive them, 50 a second' },
      { input: `ID --input '{"to":"ada@example.com"}'`, brief: 'one of them, mended' },
    ],
  },
});

/** A command that takes nothing of its own. */
function simple(
  brief: string,
  control: { readonly one: (flags: ControlFlags) => Control['one']; readonly many: Control['many'] },
) {
  return buildCommand<ControlFlags, string[], CliContext>({
    func(flags, ...ids) {
      return steer(this, flags, ids, { one: control.one(flags), many: control.many });
    },
    parameters: { flags: controlFlags, aliases, positional: anyIds },
    docs: { brief },
  });
}

function parseRate(written: string): number {
  const rate = Number(written);
  if (!/^\d+(\.\d+)?$/.test(written) || rate <= 0 || rate > 100_000) {
    throw new Error(`"${written}" is no rate: a number above 0, at most 100000`);
  }
  return rate;
}
