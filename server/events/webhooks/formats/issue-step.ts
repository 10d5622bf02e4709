/** What an issue format does with an event of a task. */
export type IssueStep = 'open' | 'reopen' | 'comment' | 'close' | 'nothing';

/** What happens to a task that an issue was, or will be, opened for. */
export const issueFollowUps: ReadonlySet<string> = new Set([
  'task.redriven',
  'task.succeeded',
  'task.skipped',
  'task.discarded',
]);

/** What opens an issue. */
export function opensIssue(kind: string): boolean {
  return kind === 'task.failed' || kind === 'webhook.test';
}

export function issueStep(kind: string, hasIssue: boolean): IssueStep {
  if (opensIssue(kind)) return hasIssue ? 'reopen' : 'open';
  // The delivery that was to open it was given up, or deleted.
  if (!hasIssue || !issueFollowUps.has(kind)) return 'nothing';
  return kind === 'task.redriven' ? 'comment' : 'close';
}
