const msOfUnit = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const onePart = /(\d+(?:\.\d+)?)(ms|s|m|h|d)/g;

/** Reads `500ms`, `10s`, `1.5h` or `1h30m` as milliseconds. Throws a sentence for people otherwise. */
export function parseDurationMs(written: string): number {
  const rest = written.replace(onePart, '');
  if (written === '' || rest !== '') {
    throw new Error(`"${written}" is no duration: write a number and a unit, such as 500ms, 10s, 5m, 2h or 1h30m`);
  }
  let ms = 0;
  for (const [, count, unit] of written.matchAll(onePart)) {
    ms += Number(count) * msOfUnit[unit as keyof typeof msOfUnit];
  }
  return Math.round(ms);
}

/** Milliseconds for people, in the two largest units that matter: `850ms`, `12s`, `3m 4s`, `2d 5h`. */
export function formatDurationMs(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`;
  if (ms < 10_000) return `${Number((ms / 1_000).toFixed(1))}s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return twoUnits(seconds, 60, 'm', 1, 's');
  if (seconds < 86_400) return twoUnits(seconds, 3_600, 'h', 60, 'm');
  return twoUnits(seconds, 86_400, 'd', 3_600, 'h');
}

function twoUnits(seconds: number, large: number, largeName: string, small: number, smallName: string): string {
  const first = Math.floor(seconds / large);
  const second = Math.floor((seconds % large) / small);
  return second === 0 ? `${first}${largeName}` : `${first}${largeName} ${second}${smallName}`;
}
