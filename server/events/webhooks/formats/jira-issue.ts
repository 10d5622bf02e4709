import { type EventFacts, factList, headlineOf, kindOf, shortened, wordsOf } from '../event-facts.ts';
import { type Format, type FormatRequest, jsonHeaders } from './format.ts';
import { issueStep } from './issue-step.ts';

/** https://developer.atlassian.com/cloud/jira/platform/rest/v3: create issue, add comment, transition issue. */
export const jiraIssue: Format<'jira_issue'> = (format, facts, key) => {
  const step = issueStep(kindOf(facts), key !== null);
  const request = (path: string, body: unknown): FormatRequest => ({
    method: 'POST',
    path: `/rest/api/3/issue${path}`,
    headers: { ...jsonHeaders, accept: 'application/json' },
    body,
  });
  if (step === 'open') {
    const fields = {
      project: { key: format.project },
      issuetype: { name: format.issueType },
      summary: shortened(headlineOf(facts).replace(/\s+/g, ' '), 250),
      description: document(facts),
      labels: format.labels,
    };
    return [{ ...request('', { fields }), nameIn: keyOf }];
  }
  if (step === 'nothing' || key === null) return [];
  const issue = `/${encodeURIComponent(key)}`;
  const comment = request(`${issue}/comment`, { body: document(facts) });
  const id = transitionOf(format, step);
  if (id === '') return [comment];
  const transition = request(`${issue}/transitions`, { transition: { id } });
  // Jira refuses a transition that the issue has made already, by people or by an earlier attempt.
  return [{ ...transition, toleratedStatuses: [400, 409] }, comment];
};

function transitionOf(format: Parameters<typeof jiraIssue>[0], step: 'reopen' | 'comment' | 'close'): string {
  switch (step) {
    case 'close':
      return format.doneTransition;
    case 'reopen':
      return format.reopenTransition;
    case 'comment':
      return '';
  }
}

/** In the Atlassian Document Format texts are texts, whatever is in them. */
function document(facts: EventFacts) {
  const words = wordsOf(facts);
  const item = ([name, value]: readonly [string, string]) => ({
    type: 'listItem',
    content: [
      {
        type: 'paragraph',
        content: [
          { type: 'text', text: `${name}: ` },
          { type: 'text', text: value, marks: [{ type: 'code' }] },
        ],
      },
    ],
  });
  return {
    type: 'doc',
    version: 1,
    content: [
      { type: 'paragraph', content: [{ type: 'text', text: headlineOf(facts), marks: [{ type: 'strong' }] }] },
      { type: 'bulletList', content: factList(facts).map(item) },
      ...(words === '' ? [] : [{ type: 'codeBlock', content: [{ type: 'text', text: shortened(words, 10_000) }] }]),
    ],
  };
}

function keyOf(answer: unknown): string | undefined {
  const key = (answer as { key?: unknown } | null)?.key;
  return typeof key === 'string' && /^[A-Za-z0-9_-]{1,100}$/.test(key) ? key : undefined;
}
