import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { UsageError } from './exit.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A file, or stdin for `-`. */
export function readBytes(stdin: NodeJS.ReadableStream, file: string): Promise<Buffer> {
  return file === '-' ? buffer(stdin) : readFile(file);
}

/** The text of a file, or of stdin for `-`. */
export async function readText(stdin: NodeJS.ReadableStream, file: string): Promise<string> {
  return textOf(nameOf(file), await readBytes(stdin, file));
}

/** Refuses bytes that are no text: others would be sent in their place. */
export function textOf(where: string, bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new UsageError(`${where} is not UTF-8`);
  }
}

/** How messages call it. */
export function nameOf(file: string): string {
  return file === '-' ? 'stdin' : file;
}
