/** A type of events as it is written: `task.failed` stands for `dstc.task.failed.v1`, and `task.*` for `dstc.task.*`. */
export function parseEventType(written: string): string {
  const named = written.startsWith('dstc.') || written === '*' ? written : `dstc.${written}`;
  return named.endsWith('*') || /\.v\d+$/.test(named) ? named : `${named}.v1`;
}
