/** `*` for every task type, `email.*` for those below `email.`, or the name of one. */
export type TypePattern = string;

const patternRule = /^(\*|[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*(\.\*)?)$/;

export function isTypePattern(text: string): boolean {
  return text.length <= 130 && patternRule.test(text);
}

/** `email.*` covers `email.send` and `email.bulk.send`, not `email` and not `emails.send`. */
export function matchesPattern(pattern: TypePattern, taskType: string): boolean {
  if (pattern === '*') return true;
  if (!pattern.endsWith('.*')) return pattern === taskType;
  return taskType.startsWith(pattern.slice(0, -1));
}

/** What both lists cover: of each pair of patterns that meet, one covers the other. */
export function commonPatterns(some: readonly TypePattern[], others: readonly TypePattern[]): readonly TypePattern[] {
  const within = (inner: readonly TypePattern[], outer: readonly TypePattern[]) =>
    inner.filter((pattern) => outer.some((wider) => matchesPattern(wider, pattern)));
  return [...new Set([...within(some, others), ...within(others, some)])];
}
