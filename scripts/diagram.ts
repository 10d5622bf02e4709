import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type Move, moves } from '../server/domain/lifecycle.ts';
import { finalStates, type TaskState } from '../server/domain/task-state.ts';

// node --conditions=dstc-source scripts/diagram.ts   writes the diagram and the table of moves into the documents

/** What is generated, by the name of its markers. */
const parts: Readonly<Record<string, () => string>> = { diagram, moves: movesTable };

/** The documents that have such markers. */
export const documents = ['README.md', 'docs/lifecycle.md'] as const;

/** A document's text with everything between its markers as the table of moves has it now. */
export function refreshed(text: string): string {
  let fresh = text;
  for (const [name, generate] of Object.entries(parts)) {
    const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
    const [before, rest] = cut(fresh, begin);
    const [, after] = cut(rest, end);
    if (after !== undefined) fresh = `${before}${begin}\n\n${generate()}\n\n${end}${after}`;
  }
  return fresh;
}

export function pathOf(document: string): string {
  return fileURLToPath(new URL(`../${document}`, import.meta.url));
}

function cut(text: string | undefined, at: string): [string, string | undefined] {
  const place = text?.indexOf(at) ?? -1;
  return text === undefined || place === -1 ? ['', undefined] : [text.slice(0, place), text.slice(place + at.length)];
}

/** One arrow for all commands that lead from one state to another. */
function diagram(): string {
  const arrows = Map.groupBy(moves, ({ from, to }) => `${from} --> ${to}`);
  const lines = [...arrows].map(([arrow, group]) => `${arrow}: ${[...new Set(group.map(labelOf))].join('<br>')}`);
  const reached = new Set<TaskState>(moves.map((move) => move.to));
  const ends = finalStates.filter((state) => reached.has(state)).map((state) => `${state} --> [*]`);
  const begins = ['[*] --> PENDING: submit', '[*] --> BLOCKED: submit with dependencies'];
  return ['```mermaid', 'stateDiagram-v2', ...[...begins, ...lines, ...ends].map(indented), '```'].join('\n');
}

function indented(line: string): string {
  return `    ${line}`;
}

function labelOf({ command, effect }: Move): string {
  return effect.attempt === -1 ? `${words(command)}, attempt given back` : words(command);
}

function movesTable(): string {
  const rows = moves.map(({ from, command, when, to, effect, why }) =>
    [`\`${from}\``, words(command), when.join(' and '), `\`${to}\``, `\`${effect.event}\``, why].join(' | '),
  );
  const head = ['from', 'command', 'when', 'to', 'event', 'why'];
  return [head.join(' | '), head.map(() => '---').join(' | '), ...rows].map((row) => `| ${row} |`).join('\n');
}

/** `expireRun` becomes `expire run`. */
function words(command: string): string {
  return command.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

if (import.meta.main) {
  for (const document of documents) {
    const path = pathOf(document);
    await writeFile(path, refreshed(await readFile(path, 'utf8')));
  }
}
