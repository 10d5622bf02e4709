import type { BinaryPayload } from '@dstc/sdk';
import { UsageError } from './exit.ts';
import { nameOf, readBytes, readText, textOf } from './text-file.ts';

export interface InputFlags {
  /** JSON. */
  readonly input?: string;
  readonly inputFile?: string;
  /** Of the file or stdin, when it is not JSON. */
  readonly contentType?: string;
}

/** How a command calls its input, and the flags that bring it. */
export interface InputNames {
  readonly what: string;
  readonly text: string;
  readonly file: string;
}

const inputNames: InputNames = { what: 'input', text: '--input', file: '--input-file' };

/** The input of one task, or undefined when none is given. */
export async function readInput(
  stdin: NodeJS.ReadableStream,
  flags: InputFlags,
  fromStdin: boolean,
  names: InputNames = inputNames,
): Promise<BinaryPayload | undefined> {
  const given = [flags.input !== undefined, flags.inputFile !== undefined, fromStdin].filter(Boolean).length;
  if (given > 1) throw new UsageError(`give the ${names.what} once: ${names.text}, ${names.file}, or - for stdin`);
  if (flags.input !== undefined && flags.input !== '-') {
    if (flags.contentType !== undefined)
      throw new UsageError(`--content-type is for ${names.file} and stdin; ${names.text} is JSON`);
    return json(names.text, flags.input);
  }
  const file = fromStdin || flags.input === '-' ? '-' : flags.inputFile;
  if (file === undefined) return undefined;
  const data = await readBytes(stdin, file);
  if (flags.contentType !== undefined) return { data, contentType: flags.contentType };
  return json(nameOf(file), textOf(nameOf(file), data));
}

export interface JsonLine {
  /** Counted from 1. */
  readonly line: number;
  readonly input: BinaryPayload;
}

/** Every line that is not blank, all of them checked before anything is done with one. */
export async function readJsonLines(
  stdin: NodeJS.ReadableStream,
  flags: InputFlags & { readonly jsonl?: string },
): Promise<readonly JsonLine[]> {
  const { jsonl: file = '-', input, inputFile, contentType } = flags;
  if (input !== undefined || inputFile !== undefined || contentType !== undefined) {
    throw new UsageError('--jsonl brings the inputs; leave out --input, --input-file and --content-type');
  }
  const text = await readText(stdin, file);
  const name = nameOf(file);
  const lines: JsonLine[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() !== '') lines.push({ line: index + 1, input: json(`${name}, line ${index + 1}`, line) });
  }
  if (lines.length === 0) throw new UsageError(`${name} has no lines: there is nothing to submit`);
  return lines;
}

/** JSON travels as it was written: reading and writing it anew would round large numbers. */
function json(where: string, text: string): BinaryPayload {
  try {
    JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${where} is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  return { data: Buffer.from(text), contentType: 'application/json' };
}
