import type { CloudEvent, PublishResult } from '@dstc/sdk';
import { buildCommand } from '@stricli/core';
import type { CliContext } from '../context.ts';
import { parseEventFile } from '../event-file.ts';
import { Exit, UsageError } from '../exit.ts';
import { type CallFlags, callAliases, callFlags, type Label, labelsFlag, textFlag } from '../flags.ts';
import { readInput } from '../input.ts';
import { printMany } from '../output/print.ts';
import { oneLine, type Painted } from '../output/shown.ts';
import { formatTable } from '../output/table.ts';
import { nameOf, readText } from '../text-file.ts';

interface PublishFlags extends CallFlags {
  readonly file?: string;
  readonly type?: string;
  readonly source?: string;
  readonly id?: string;
  readonly subject?: string;
  readonly extension?: readonly Label[];
  readonly data?: string;
  readonly dataFile?: string;
  readonly contentType?: string;
}

/** A line of the answer: what one rule made of one event, or what became of the event. */
interface PublishedLine {
  /** The place of the event, from 1. */
  readonly event: number;
  readonly result: string;
  readonly rule?: string;
  readonly taskType?: string;
  readonly taskId?: string;
  readonly alreadyExisted?: boolean;
}

/** `dstc events publish` */
export const publish = buildCommand<PublishFlags, [], CliContext>({
  async func(flags) {
    const events = await eventsOf(this, flags);
    const { client } = await this.connect(flags);
    const results = await client.publishEvents(events);
    await printMany(this.screen, flags.output, results.flatMap(linesOf), linesText);
    const errors = results.flatMap(errorsOf);
    for (const error of errors) this.screen.err(oneLine(error));
    if (errors.length > 0) throw new Exit(1);
  },
  parameters: {
    flags: {
      ...callFlags,
      file: textFlag('file', 'Events in the JSON format of CloudEvents: one, a list, or one a line; - reads stdin'),
      type: textFlag('type', 'Type of one event, such as com.example.order.placed'),
      source: textFlag('uri', 'Where it happened, such as /shop/orders'),
      id: textFlag('id', 'Sent again with the same source and id, it makes no second task; default: a new one'),
      subject: textFlag('text', 'What it is about'),
      extension: labelsFlag('A further attribute; may be repeated'),
      data: textFlag('json', 'What it carries, as JSON'),
      dataFile: textFlag('file', 'A file with what it carries; - reads stdin'),
      contentType: textFlag('type', 'Media type of the file when it is not JSON'),
    },
    aliases: { ...callAliases, f: 'file', t: 'type', s: 'source', d: 'data', e: 'extension' },
  },
  docs: {
    brief: 'Send events to the rules that make tasks of them',
    customUsage: [
      {
        input: `--type com.example.order.placed --source /shop --data '{"id":7}'`,
        brief: 'one event',
      },
      { input: '--file events.jsonl', brief: 'all events of a file' },
    ],
  },
});

async function eventsOf(context: CliContext, flags: PublishFlags): Promise<readonly CloudEvent[]> {
  const { file, type, source, id, subject, extension = [], data, dataFile, contentType } = flags;
  const ofOne = [type, source, id, subject, data, dataFile, contentType];
  if (file !== undefined) {
    if (ofOne.some((flag) => flag !== undefined) || extension.length > 0) {
      throw new UsageError('--file brings the events; leave out the flags of a single one');
    }
    const text = await readText(context.process.stdin, file);
    return parseEventFile(nameOf(file), text);
  }
  if (type === undefined || source === undefined) throw new UsageError('give --type and --source, or --file');
  const input = {
    ...(data !== undefined && { input: data }),
    ...(dataFile !== undefined && { inputFile: dataFile }),
    ...(contentType !== undefined && { contentType }),
  };
  return [
    {
      id,
      type,
      source,
      subject,
      extensions: Object.fromEntries(extension),
      data: await readInput(context.process.stdin, input, false, dataNames),
    },
  ];
}

const dataNames = { what: 'data', text: '--data', file: '--data-file' };

function linesOf(result: PublishResult, index: number): PublishedLine[] {
  const event = index + 1;
  if (!result.ok) return [{ event, result: result.error.reason }];
  const { disposition, rules } = result.event;
  if (rules.length === 0) return [{ event, result: disposition.toLowerCase() }];
  return rules.map((outcome) => {
    const { rule, taskType } = outcome;
    if (!outcome.ok) return { event, result: outcome.error.reason, rule, taskType };
    const { taskId, alreadyExisted } = outcome;
    return { event, result: alreadyExisted ? 'existed already' : 'submitted', rule, taskType, taskId, alreadyExisted };
  });
}

function errorsOf(result: PublishResult, index: number): string[] {
  if (!result.ok) return [`event ${index + 1}: ${result.error.message} (${result.error.reason})`];
  return result.event.rules.flatMap((outcome) =>
    outcome.ok ? [] : [`event ${index + 1}: ${outcome.error.message} (${outcome.error.reason})`],
  );
}

function linesText(lines: readonly PublishedLine[]): Painted {
  return formatTable(
    [
      { title: 'event', value: ({ event }: PublishedLine) => String(event) },
      { title: 'result', value: ({ result }: PublishedLine) => result },
      { title: 'rule', value: ({ rule = '' }: PublishedLine) => rule },
      { title: 'task type', value: ({ taskType = '' }: PublishedLine) => taskType },
      { title: 'task', value: ({ taskId = '' }: PublishedLine) => taskId },
    ],
    lines,
  );
}
