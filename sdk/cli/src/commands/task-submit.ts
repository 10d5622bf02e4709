import type { DependsOn, Submission, SubmitOptions, SubmitResult } from '@dstc/sdk';
import { buildCommand } from '@stricli/core';
import type { CliContext } from '../context.ts';
import { parseDependsOn } from '../depends-on.ts';
import { Exit, UsageError } from '../exit.ts';
import {
  type CallFlags,
  callAliases,
  callFlags,
  durationFlag,
  integerParser,
  type Label,
  labelsFlag,
  textFlag,
} from '../flags.ts';
import { type InputFlags, readInput, readJsonLines } from '../input.ts';
import { printMany, printOne } from '../output/print.ts';
import { printEnded } from '../output/print-ended.ts';
import { startProgressBar } from '../output/progress-bar.ts';
import { oneLine, type Painted } from '../output/shown.ts';
import { formatTable } from '../output/table.ts';
import { taskText } from '../output/task-text.ts';
import { chunks, waitForEnd } from '../wait.ts';

interface SubmitFlags extends CallFlags, InputFlags {
  readonly jsonl?: string;
  readonly wait?: boolean;
  readonly timeout?: number;
  readonly priority?: number;
  readonly delay?: number;
  readonly label?: readonly Label[];
  readonly idempotencyKey?: string;
  readonly dependsOn?: readonly DependsOn[];
}

/** `dstc task submit` */
export const submit = buildCommand<SubmitFlags, [string, string?], CliContext>({
  async func(flags, type, dash) {
    if (dash !== undefined && dash !== '-') {
      throw new UsageError(`"${dash}" is too much: give the input with --input, --input-file, or - for stdin`);
    }
    const { priority, delay, label = [], idempotencyKey, dependsOn } = flags;
    const options = { priority, delayMs: delay, labels: Object.fromEntries(label), idempotencyKey, dependsOn };
    if (flags.jsonl !== undefined) return submitLines(this, flags, type, options);
    const input = await readInput(this.process.stdin, flags, dash === '-');
    return submitOne(this, flags, type, input, options);
  },
  parameters: {
    flags: {
      ...callFlags,
      input: textFlag('json', 'The input as JSON'),
      inputFile: textFlag('file', 'A file with the input; - reads stdin'),
      contentType: textFlag('type', 'Media type of the file or stdin when it is not JSON, such as image/jpeg'),
      jsonl: textFlag('file', 'Submit many: every line of the file is the JSON input of one task; - reads stdin'),
      wait: {
        kind: 'boolean',
        optional: true,
        withNegated: false,
        brief: 'Wait until the task has ended, and print it',
      },
      timeout: durationFlag('With --wait: give up waiting after this long; the task goes on'),
      priority: {
        kind: 'parsed',
        parse: integerParser(0, 9),
        optional: true,
        placeholder: '0-9',
        brief: 'Higher goes first',
      },
      delay: durationFlag('Not started before this much time has passed'),
      label: labelsFlag('For searching; may be repeated'),
      dependsOn: {
        kind: 'parsed',
        parse: parseDependsOn,
        optional: true,
        variadic: true,
        placeholder: 'id[:policy]',
        brief: 'Not before this task has ended; if that fails: cancel (default), continue, block. May be repeated',
      },
      idempotencyKey: textFlag('key', 'Submissions with one key are one task; with --jsonl the line number is added'),
    },
    aliases: { ...callAliases, i: 'input', f: 'inputFile', w: 'wait', p: 'priority', l: 'label', k: 'idempotencyKey' },
    positional: {
      kind: 'tuple',
      parameters: [
        { parse: String, placeholder: 'type', brief: 'Name of the task type' },
        { parse: String, placeholder: '-', brief: 'Read the input from stdin', optional: true },
      ],
    },
  },
  docs: {
    brief: 'Submit one task, or many from a file',
    customUsage: [
      {
        input: `checknumber --input '{"number":"+44 20 7946 0958"}' --wait`,
        brief: 'submit, wait, and print the result',
      },
      {
        input: 'extract-metadata --input-file photo.jpg --content-type image/jpeg',
        brief: 'an input that is not JSON',
      },
      { input: 'checknumber --jsonl numbers.jsonl --wait', brief: 'one task for each line' },
      { input: 'checknumber - < number.json', brief: 'the input from stdin' },
      {
        input: 'report --depends-on 01890a5d-ac96-774b-bcce-b302099a8057:continue',
        brief: 'after another task, also if that fails',
      },
    ],
  },
});

async function submitOne(
  context: CliContext,
  flags: SubmitFlags,
  type: string,
  input: unknown,
  options: SubmitOptions,
): Promise<void> {
  const { client } = await context.connect(flags);
  const { task } = await client.submit(type, input, options);
  if (!flags.wait) {
    return printOne(context.screen, flags.output, task, (one) => taskText(context.screen.colors, one, new Date()));
  }
  const ended = await client.awaitEnd(task.id, { timeoutMs: flags.timeout, signal: context.interrupted });
  await printEnded(context.screen, flags.output, [ended]);
}

/** Batches are submitted one after the other; this many lines are in one, so that the bar moves. */
const batchLines = 1_000;

/** What became of a line: a task or the reason why there is none. */
type LineResult =
  | { readonly line: number; readonly id: string; readonly alreadyExisted: boolean }
  | { readonly line: number; readonly reason: string; readonly error: string };

async function submitLines(
  context: CliContext,
  flags: SubmitFlags,
  type: string,
  options: SubmitOptions,
): Promise<void> {
  const { screen, interrupted } = context;
  const lines = await readJsonLines(context.process.stdin, flags);
  const { client } = await context.connect(flags);
  const results: LineResult[] = [];
  const bar = startProgressBar(screen, lines.length, 'submitting');
  try {
    for (const some of chunks(lines, batchLines)) {
      interrupted.throwIfAborted();
      const answers = await client.submitMany(some.map(({ line, input }) => submission(type, input, options, line)));
      for (const [index, answer] of answers.entries()) results.push(lineResult(some[index]?.line ?? 0, answer));
      bar.update(results.length);
    }
  } finally {
    bar.stop();
  }
  const refused = results.filter((result) => 'error' in result);
  for (const { line, error, reason } of refused) screen.err(oneLine(`line ${line}: ${error} (${reason})`));
  const ids = results.flatMap((result) => ('id' in result ? [result.id] : []));
  if (flags.wait && ids.length > 0) {
    const wait = { ids, timeoutMs: flags.timeout, withPayloads: flags.output !== 'table', signal: interrupted };
    await printEnded(screen, flags.output, await waitForEnd({ client, screen }, wait));
  } else {
    await printMany(screen, flags.output, results, linesText);
  }
  if (refused.length > 0) throw new Exit(1);
}

function submission(type: string, input: unknown, options: SubmitOptions, line: number): Submission {
  const { idempotencyKey } = options;
  // The same file submitted twice is then the same tasks.
  return { ...options, type, input, idempotencyKey: idempotencyKey && `${idempotencyKey}:${line}` };
}

function lineResult(line: number, result: SubmitResult): LineResult {
  return result.ok
    ? { line, id: result.handle.id, alreadyExisted: result.handle.alreadyExisted }
    : { line, reason: result.error.reason, error: result.error.message };
}

function linesText(results: readonly LineResult[]): Painted {
  const submitted = results.filter((result) => 'id' in result);
  return formatTable(
    [
      { title: 'line', value: ({ line }: (typeof submitted)[number]) => String(line) },
      { title: 'id', value: ({ id }: (typeof submitted)[number]) => id },
      {
        title: 'note',
        value: ({ alreadyExisted }: (typeof submitted)[number]) => (alreadyExisted ? 'existed already' : ''),
      },
    ],
    submitted,
  );
}
