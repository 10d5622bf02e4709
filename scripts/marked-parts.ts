/** A document's text with everything between its markers as it is generated now, by the names of the markers. */
export function withParts(text: string, parts: Readonly<Record<string, () => string>>): string {
  let fresh = text;
  for (const [name, generate] of Object.entries(parts)) {
    const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
    const [before, rest] = cut(fresh, begin);
    const [, after] = cut(rest, end);
    if (after !== undefined) fresh = `${before}${begin}\n\n${generate()}\n\n${end}${after}`;
  }
  return fresh;
}

function cut(text: string | undefined, at: string): [string, string | undefined] {
  const place = text?.indexOf(at) ?? -1;
  return text === undefined || place === -1 ? ['', undefined] : [text.slice(0, place), text.slice(place + at.length)];
}

/** A table of Markdown. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}
