import { markdownTable } from '../marked-parts.ts';
import type { EventType } from './event-types.ts';

/** Every type with when it comes and what its data has, for people. */
export function eventTable(types: readonly EventType[]): string {
  const rows = types.map(({ type, when, data }) => [
    `\`${type}\``,
    when,
    data.fields.map(({ jsonName }) => `\`${jsonName}\``).join(', '),
  ]);
  return markdownTable(['type', 'when', 'data'], rows);
}
