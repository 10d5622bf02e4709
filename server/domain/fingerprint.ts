/** An error, as far as its cause shows in it. */
export interface ErrorFacts {
  readonly code: string;
  readonly message: string;
}

/**
 * What errors of one cause have in common: 16 hexadecimal digits of the task type, the code and the message without what
 * changes from one occurrence to the next (numbers, ids, quoted words). A hash that groups and proves nothing.
 */
export function fingerprintOf(type: string, { code, message }: ErrorFacts): string {
  const text = `${type}\n${code}\n${steady(message)}`;
  return hex(fnv1a(text, fnvOffset)) + hex(fnv1a(text, ~fnvOffset));
}

function steady(message: string): string {
  return message
    .slice(0, messageCharactersMax)
    .replace(/"[^"]*"|'[^']*'|`[^`]*`/g, '""')
    .replace(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi, '#')
    .replace(/\b(0x)?[0-9a-f]*\d[0-9a-f]*\b/gi, '#')
    .replace(/\d+/g, '#')
    .replace(/\s+/g, ' ')
    .trim();
}

/** The cause stands at the front. */
const messageCharactersMax = 512;

const fnvOffset = 0x811c9dc5;
const fnvPrime = 0x01000193;

/** FNV-1a over the text's UTF-16 units. */
function fnv1a(text: string, from: number): number {
  let hash = from;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), fnvPrime);
  return hash >>> 0;
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}
