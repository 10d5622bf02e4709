import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type Move, moves } from '../server/domain/lifecycle.ts';
import { finalStates, type TaskState } from '../server/domain/task-state.ts';
import { markdownTable, withParts } from './marked-parts.ts';

// node --conditions=dstc-source scripts/diagram.ts   writes the diagram and the table of moves into the documents

/** What is generated, by the name of its markers. */
const parts: Readonly<Record<string, () => string>> = { diagram, moves: movesTable };

/** The documents that have such markers. */
export const documents = ['README.md', 'docs/lifecycle.md'] as const;

/** A document's text with everything between its markers as the table of moves has it now. */
export function refreshed(text: string): string {
  return withParts(text, parts);
}

export function pathOf(document: string): string {
  return fileURLToPath(new URL(`../${document}`, import.meta.url));
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
  const rows = moves.map(({ from, command, when, to, effect, why }) => [
    ...[`\`${from}\``, words(command), when.join(' and '), `\`${to}\``, `\`${effect.event}\``, why],
  ]);
  return markdownTable(['from', 'command', 'when', 'to', 'event', 'why'], rows);
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
