import type { Pause } from '@dstc/sdk';

/** `since 2030-01-31T12:00:00.000Z by ada: the reason`; undefined when there is no pause. */
export function pauseText(pause: Pause | undefined): string | undefined {
  if (pause === undefined) return undefined;
  const since = pause.time === undefined ? '' : `since ${pause.time.toISOString()} `;
  const by = pause.actor === '' ? '' : `by ${pause.actor}`;
  return `${since}${by}${pause.reason === '' ? '' : `: ${pause.reason}`}`;
}
