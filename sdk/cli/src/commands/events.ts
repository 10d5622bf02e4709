import type { Client, DstcEvent, EventsOptions } from '@dstc/sdk';
import type { FlagParametersForType } from '@stricli/core';
import { buildCommand, buildRouteMap } from '@stricli/core';
import type { CliContext } from '../context.ts';
import { parseEventType } from '../event-type.ts';
import { Interrupted, UsageError } from '../exit.ts';
import { labelsOf } from '../filter-flags.ts';
import { type CallFlags, callAliases, callFlags, textFlag } from '../flags.ts';
import { parseLabelCondition, type WrittenCondition } from '../label-condition.ts';
import { eventText } from '../output/event-text.ts';
import { jsonValue } from '../output/print.ts';
import type { Screen } from '../output/screen.ts';
import type { Text } from '../output/shown.ts';
import { parseTime } from '../time.ts';
import { publish } from './publish-events.ts';

interface EventFlags extends CallFlags {
  readonly type?: readonly string[];
  readonly taskType?: readonly string[];
  readonly task?: readonly string[];
  readonly label?: readonly WrittenCondition[];
  readonly since?: Date;
  readonly cursor?: string;
}

const timeFlag = (brief: string) =>
  ({
    kind: 'parsed',
    parse: (text: string) => parseTime(text),
    optional: true,
    placeholder: 'time|2h',
    brief,
  }) as const;

const eventFlags: FlagParametersForType<EventFlags, CliContext> = {
  ...callFlags,
  type: {
    kind: 'parsed',
    parse: parseEventType,
    optional: true,
    variadic: true,
    placeholder: 'type',
    brief: 'Only events of this type, such as task.failed or task.*; may be repeated',
  },
  taskType: { ...textFlag('name', 'Only events that concern this task type; may be repeated'), variadic: true },
  task: { ...textFlag('id', 'Only events of this task; may be repeated'), variadic: true },
  label: {
    kind: 'parsed',
    parse: parseLabelCondition,
    optional: true,
    variadic: true,
    placeholder: 'key=value',
    brief: 'Only events of tasks with this label; also key!=value, "key in (a, b)", key, !key; may be repeated',
  },
  since: timeFlag('Begin with what happened then'),
  cursor: {
    kind: 'parsed',
    parse: parseCursor,
    optional: true,
    placeholder: 'cursor',
    brief: 'Begin where an earlier run says that it ended',
  },
};

const eventAliases = { ...callAliases, t: 'type', l: 'label' } as const;

const tail = buildCommand<EventFlags, [], CliContext>({
  async func(flags) {
    const { client } = await this.connect(flags);
    const options = { ...optionsOf(flags), signal: this.interrupted };
    try {
      await printEvents(this.screen, flags, client, { options });
    } catch (error) {
      // It has no other end.
      if (!(error instanceof Interrupted)) throw error;
    }
  },
  parameters: { flags: eventFlags, aliases: eventAliases },
  docs: {
    brief: 'Print what happens, as it happens',
    customUsage: [
      { input: '', brief: 'everything from now on' },
      { input: '--type task.failed --since 1h', brief: 'what has failed in the last hour, and what fails' },
      { input: '--task-type email.send --label team=sales -o jsonl', brief: 'one JSON object a line' },
    ],
    fullDescription: `Prints events, one a line, until Ctrl-C: from now on, or since a time, or after a cursor. A connection that is lost is
made again, and nothing is left out. At its end it says with which cursor to go on. JSON comes one object a line.`,
  },
});

interface ReplayFlags extends EventFlags {
  readonly until?: Date;
}

const replay = buildCommand<ReplayFlags, [], CliContext>({
  async func({ until, ...flags }) {
    if (flags.since === undefined && flags.cursor === undefined) {
      throw new UsageError('say from where on: --since 2h, or --cursor of an earlier run');
    }
    const { client } = await this.connect(flags);
    const options = { ...optionsOf(flags), follow: false, signal: this.interrupted };
    await printEvents(this.screen, flags, client, { options, until });
  },
  parameters: {
    flags: { ...eventFlags, until: timeFlag('Print nothing that happened then or later') },
    aliases: eventAliases,
  },
  docs: {
    brief: 'Print what has happened',
    customUsage: [
      { input: '--since 2030-01-31 --until 2030-02-01', brief: 'a day' },
      { input: '--since 2h --type circuit.* -o jsonl', brief: 'one JSON object a line' },
    ],
    fullDescription: `Prints events of the past, one a line, in their order, and ends when it has come to the present, or to --until. At its end it
says with which cursor to go on; with --until that is the place before the first event that was left out, and one that was
printed may come again. JSON comes one object a line.`,
  },
});

const rebuild = buildCommand<CallFlags & { readonly since?: Date }, [], CliContext>({
  async func({ since, ...flags }) {
    const { client } = await this.connect(flags);
    await client.rebuildEvents({ since });
    this.screen.err(
      'events are published to NATS once more; dstc_event_backlog of the metrics tells how many are left',
    );
  },
  parameters: {
    flags: { ...callFlags, since: timeFlag('Only what happened then or later') },
    aliases: callAliases,
  },
  docs: {
    brief: 'Publish events to NATS once more',
    fullDescription: `For a stream that has lost some of them: publishes everything that history holds, or what happened since a time, of all
namespaces. Consumers drop what they had by its id. New events follow when the old ones are out. Takes the permission operate
on all task types of all namespaces. A stream that is deleted or loses its store needs no help: the coordinators notice.`,
  },
});

/** `dstc events …` */
export const eventCommands = buildRouteMap({
  routes: { tail, replay, publish, rebuild },
  docs: { brief: 'Events: what happens, what has happened, and what happened elsewhere' },
});

/** An empty one means "from now on" to the coordinator; here it is a variable of the shell that nothing was put into. */
function parseCursor(written: string): string {
  if (written.trim() !== '') return written;
  throw new Error('it is empty: give a cursor that an earlier run has printed, or leave --cursor out');
}

function optionsOf({ type, taskType, task, label, since, cursor }: EventFlags): EventsOptions {
  if (since !== undefined && cursor !== undefined) throw new UsageError('--since and --cursor exclude each other');
  return { types: type, taskTypes: taskType, taskIds: task, labels: label && labelsOf(label), since, cursor };
}

interface Printing {
  readonly options: EventsOptions;
  readonly until?: Date | undefined;
}

/** The order of events is about that of time: after one that is so much later, none comes that is early enough. */
const untilSlackMs = 60_000;

async function printEvents(
  screen: Screen,
  { output }: CallFlags,
  client: Client,
  { options, until }: Printing,
): Promise<void> {
  // None before the first answer: the cursor that was given may be refused.
  let place: string | undefined;
  let hasLeftOut = false;
  const untilMs = until?.getTime() ?? Number.POSITIVE_INFINITY;
  const onCursor = (cursor: string) => {
    if (!hasLeftOut) place = cursor;
  };
  try {
    for await (const event of client.events({ ...options, onCursor })) {
      const timeMs = event.time?.getTime() ?? 0;
      if (timeMs >= untilMs && !hasLeftOut) {
        // Who goes on from here gets it.
        place ??= options.cursor;
        hasLeftOut = true;
      }
      if (timeMs >= untilMs + untilSlackMs) break;
      if (timeMs < untilMs) screen.out(lineOf(screen, output, event));
      onCursor(event.cursor);
    }
  } finally {
    if (place !== undefined) screen.err(`go on with --cursor ${place}`);
  }
}

function lineOf(screen: Screen, output: CallFlags['output'], event: DstcEvent): Text {
  return output === 'table' ? eventText(screen.colors, event) : JSON.stringify(event, jsonValue);
}
