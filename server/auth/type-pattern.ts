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
