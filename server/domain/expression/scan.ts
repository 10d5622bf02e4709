/** Where an expression is nested deeper than allowed; undefined when it is nowhere. Brackets in texts do not count. */
export function tooDeepAt(text: string, depthMax: number): number | undefined {
  let depth = 0;
  for (let at = 0; at < text.length; at = next(text, at)) {
    if (opening.has(text.charAt(at))) depth += 1;
    if (closing.has(text.charAt(at))) depth -= 1;
    if (depth > depthMax) return at;
  }
  return undefined;
}

/** Where the `}` is that closes what was opened before `from`; undefined when there is none. */
export function closingBraceAt(text: string, from: number): number | undefined {
  let depth = 0;
  for (let at = from; at < text.length; at = next(text, at)) {
    const character = text.charAt(at);
    if (character === '}' && depth === 0) return at;
    if (opening.has(character)) depth += 1;
    if (closing.has(character)) depth -= 1;
  }
  return undefined;
}

const opening: ReadonlySet<string> = new Set('([{');
const closing: ReadonlySet<string> = new Set(')]}');

/** The place after what stands at `at`: a text, a comment, or one character. */
function next(text: string, at: number): number {
  const character = text.charAt(at);
  if (character === '"' || character === "'") return afterText(text, at, character);
  if (character === '/' && text.charAt(at + 1) === '/') {
    const end = text.indexOf('\n', at);
    return end === -1 ? text.length : end;
  }
  return at + 1;
}

function afterText(text: string, at: number, quote: string): number {
  const isRaw = /(?<![A-Za-z0-9_])(r|br|rb)$/i.test(text.slice(Math.max(0, at - 3), at));
  const end = text.startsWith(quote.repeat(3), at) ? quote.repeat(3) : quote;
  let place = at + end.length;
  while (place < text.length && !text.startsWith(end, place)) place += text.charAt(place) === '\\' && !isRaw ? 2 : 1;
  return place + end.length;
}
