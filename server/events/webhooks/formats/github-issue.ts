import { type EventFacts, factList, headlineOf, kindOf, shortened, wordsOf } from '../event-facts.ts';
import type { Format, FormatRequest } from './format.ts';
import { githubHeaders } from './github-headers.ts';
import { issueStep } from './issue-step.ts';

/** https://docs.github.com/en/rest/issues: create, update, and comment. */
export const githubIssue: Format<'github_issue'> = (format, facts, number) => {
  const step = issueStep(kindOf(facts), number !== null);
  const request = (method: 'POST' | 'PATCH', path: string, body: unknown): FormatRequest => ({
    method,
    path,
    headers: githubHeaders,
    body,
  });
  if (step === 'open') {
    const { labels, assignees } = format;
    const body = { title: titleOf(facts), body: markdown(facts), labels, assignees };
    return [{ ...request('POST', '/issues', body), nameIn: numberOf }];
  }
  if (step === 'nothing') return [];
  const issue = `/issues/${number}`;
  const comment = { ...request('POST', `${issue}/comments`, { body: markdown(facts) }), toleratedStatuses };
  const change = (body: unknown) => ({ ...request('PATCH', issue, body), toleratedStatuses });
  if (step === 'reopen') return [change({ state: 'open', state_reason: 'reopened' }), comment];
  if (step === 'close' && !format.keepOpen) {
    const reason = kindOf(facts) === 'task.discarded' ? 'not_planned' : 'completed';
    return [change({ state: 'closed', state_reason: reason }), comment];
  }
  return [comment];
};

/** The issue was deleted. */
const toleratedStatuses = [410];

function titleOf(facts: EventFacts): string {
  const code = facts.errorCode === '' ? '' : ` (${facts.errorCode})`;
  return shortened(`${headlineOf(facts)}${code}`, 200);
}

/** What people have written stands in a block of code, where it mentions nobody and links to nothing. */
function markdown(facts: EventFacts): string {
  const rows = factList(facts).map(([name, value]) => `| ${name} | ${inlineCode(value)} |`);
  const table = ['| | |', '|---|---|', ...rows].join('\n');
  const words = wordsOf(facts);
  return [`**${headlineOf(facts)}**`, table, ...(words === '' ? [] : [codeBlock(shortened(words, 10_000))])].join(
    '\n\n',
  );
}

/** Values of the list are ids, names and addresses; what of Markdown could be in them is taken out. */
function inlineCode(text: string): string {
  return `\`${text.replace(/[`|\s]+/g, ' ')}\``;
}

function codeBlock(text: string): string {
  const longest = Math.max(0, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(Math.max(3, longest + 1));
  return `${fence}text\n${text}\n${fence}`;
}

function numberOf(answer: unknown): string | undefined {
  const number = (answer as { number?: unknown } | null)?.number;
  return typeof number === 'number' && Number.isSafeInteger(number) ? String(number) : undefined;
}
