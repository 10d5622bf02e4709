import type { StoredEvent } from '../store/select-events.ts';

/** What every event takes with its message. */
const bytesMin = 1_500;

/** What an event takes in memory with its message, about. */
export function bytesOf(event: StoredEvent): number {
  if (event.of === 'system') return bytesMin + JSON.stringify(event.data).length;
  let characters = (event.error?.message.length ?? 0) + (event.reason?.length ?? 0);
  for (const [key, value] of Object.entries(event.labels)) characters += key.length + value.length;
  return bytesMin + 2 * characters;
}
