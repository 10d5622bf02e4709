import type { Screen } from './screen.ts';
import type { Text } from './shown.ts';

export const outputFormats = ['table', 'json', 'jsonl'] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** Prints one thing: by `asTable`, or as JSON. */
export function printOne<T>(screen: Screen, format: OutputFormat, thing: T, asTable: (thing: T) => Text): void {
  screen.out(textOf(format, thing, asTable));
}

/** Prints many things. `jsonl` prints each one when it comes; the others need them all. */
export async function printMany<T>(
  screen: Screen,
  format: OutputFormat,
  things: AsyncIterable<T> | Iterable<T>,
  asTable: (things: readonly T[]) => Text,
): Promise<void> {
  if (format === 'jsonl') {
    for await (const thing of things) screen.out(JSON.stringify(thing, jsonValue));
    return;
  }
  const all: T[] = [];
  for await (const thing of things) all.push(thing);
  printOne(screen, format, all, asTable);
}

function textOf<T>(format: OutputFormat, thing: T, asTable: (thing: T) => Text): Text {
  switch (format) {
    case 'table':
      return asTable(thing);
    case 'json':
      return JSON.stringify(thing, jsonValue, 2);
    case 'jsonl':
      return JSON.stringify(thing, jsonValue);
  }
}

/** Bytes as base64, as the coordinator's own JSON has them. */
export function jsonValue(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
}
