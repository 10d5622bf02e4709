import type { BinaryPayload, TaskContext } from '@dstc/sdk';
import { PermanentError, RetryableError } from '@dstc/sdk';
import { withDependenciesFile } from './dependencies-file.ts';
import { verdictOf } from './exit-status.ts';
import { type ProgramResult, type Running, runProgram } from './run-program.ts';

export interface ProgramOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly timeoutMs: number | undefined;
  readonly graceMs: number;
  readonly transientStatuses: ReadonlySet<number>;
  /** Media type of what the program prints when it is not JSON. */
  readonly contentType: string | undefined;
}

export type ProgramHandler = (input: unknown, context: TaskContext) => Promise<unknown>;

/** The coordinator's own limit decides; this one keeps a program that prints without end from filling the memory. */
const outputBytesMax = 16 * 1024 * 1024;

/** Bytes that are no text must not become others. */
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * A handler that runs a program for each task: input on stdin, output on stdout, news on stderr, and what became of the
 * tasks that it depends on in a file.
 */
export function programHandler(options: ProgramOptions, running: Running): ProgramHandler {
  async function run(input: unknown, context: TaskContext, env: Readonly<Record<string, string>>): Promise<unknown> {
    const result = await runProgram(
      {
        ...options,
        env,
        stdin: stdinOf(input),
        stdoutBytesMax: outputBytesMax,
        onLine: (line) => context.progress(progressOf(line)),
      },
      context.signal,
      running,
    ).catch((error: unknown) => {
      throw startError(error, options.command);
    });
    return outputOf(result, options);
  }

  return (input, context) => {
    const env = environmentOf(context, input);
    if (context.task.dependencyCount === 0) return run(input, context, env);
    return withDependenciesFile(context, (file) => run(input, context, { ...env, DSTC_DEPENDENCIES: file }));
  };
}

/** What the program printed, if it ended well; throws what its end means otherwise. */
export function outputOf(
  run: ProgramResult,
  options: Pick<ProgramOptions, 'transientStatuses' | 'contentType'>,
): unknown {
  if (run.stdoutOverflowed) {
    throw new PermanentError('OUTPUT_TOO_LARGE', `the program wrote more than ${outputBytesMax} bytes to stdout`);
  }
  const verdict = verdictOf(run.end, options.transientStatuses);
  if (verdict.kind !== 'success') {
    const message = run.stderrTail === '' ? verdict.message : `${verdict.message}: ${run.stderrTail}`;
    throw verdict.kind === 'transient'
      ? new RetryableError(verdict.code, message)
      : new PermanentError(verdict.code, message);
  }
  if (options.contentType !== undefined) return { data: run.stdout, contentType: options.contentType };
  let text: string;
  try {
    text = utf8.decode(run.stdout).trim();
    if (text === '') return null;
    JSON.parse(text);
  } catch {
    // Without a piece of it: error messages carry no payloads.
    throw new PermanentError(
      'OUTPUT_NOT_JSON',
      'the program ended well, but what it wrote to stdout is not JSON in UTF-8',
    );
  }
  // As the program wrote it: reading and writing it anew would round large numbers.
  return { data: Buffer.from(text), contentType: 'application/json' } satisfies BinaryPayload;
}

/** A line such as `40% resizing` also says how far the program has come. */
export function progressOf(line: string): { readonly percent?: number; readonly message: string } {
  const match = /^\s*(\d{1,3}(?:\.\d+)?)\s?%\s*(.*)$/.exec(line);
  if (match === null || Number(match[1]) > 100) return { message: line };
  return { percent: Number(match[1]), message: match[2] ?? '' };
}

function environmentOf({ task }: TaskContext, input: unknown): Record<string, string> {
  return {
    DSTC_TASK_ID: task.id,
    DSTC_TASK_TYPE: task.type,
    DSTC_ATTEMPT: String(task.attempt),
    DSTC_ATTEMPTS_MAX: String(task.attemptsMax),
    DSTC_CONTENT_TYPE: isBinary(input) ? input.contentType : 'application/json',
  };
}

function stdinOf(input: unknown): Uint8Array {
  if (input === undefined) return new Uint8Array();
  return isBinary(input) ? input.data : Buffer.from(JSON.stringify(input));
}

function isBinary(input: unknown): input is BinaryPayload {
  return typeof input === 'object' && input !== null && 'data' in input && input.data instanceof Uint8Array;
}

/** The program was there when the worker started, so that it is not now may be temporary: an upgrade, a full table. */
function startError(error: unknown, command: string): unknown {
  const isSystemError = error instanceof Error && 'syscall' in error && String(error.syscall).startsWith('spawn');
  if (!isSystemError) return error;
  return new RetryableError('PROGRAM_NOT_STARTED', `${command} could not be started: ${error.message}`, {
    cause: error,
  });
}
