import type { JsonValue } from './json-value.ts';

/**
 * Whether the text of a JSON value has more bytes than that. Ends as soon as it has: a value may have one long text many times,
 * which takes no memory before it is written.
 */
export function isLargerThan(bytesMax: number, value: JsonValue): boolean {
  return bytesLeft(bytesMax, value) < 0;
}

function bytesLeft(left: number, value: JsonValue): number {
  if (left < 0) return left;
  if (typeof value === 'string') return left - textBytes(value, left);
  if (typeof value !== 'object' || value === null) return left - String(value).length;
  const parts = Array.isArray(value) ? value : Object.entries(value).flat();
  // Brackets and what stands between.
  return parts.reduce<number>(bytesLeft, left - Math.max(2, parts.length + 1));
}

/** Of a JSON text with its quotes, or more than `max`. */
function textBytes(text: string, max: number): number {
  let bytes = 2;
  for (let at = 0; at < text.length && bytes <= max; at += 1) bytes += unitBytes(text.charCodeAt(at));
  return bytes;
}

const [quote, backslash] = [0x22, 0x5c];
/** Backspace, tab, line feed, form feed, carriage return: each is a letter behind a backslash. */
const short: ReadonlySet<number> = new Set([0x08, 0x09, 0x0a, 0x0c, 0x0d]);

/** Of half a pair of surrogates, half of what the pair has; what a lone one has is more, and is not counted. */
function unitBytes(unit: number): number {
  if (unit < 0x20) return short.has(unit) ? 2 : 6;
  if (unit < 0x80) return unit === quote || unit === backslash ? 2 : 1;
  if (unit < 0x8_00 || (unit >= 0xd8_00 && unit <= 0xdf_ff)) return 2;
  return 3;
}
