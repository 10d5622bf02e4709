import type { WebhookFormat } from '../../../domain/webhook.ts';
import type { EventFacts } from '../event-facts.ts';
import type { FormatRequest } from './format.ts';
import { githubActions } from './github-actions.ts';
import { githubIssue } from './github-issue.ts';
import { gitlabPipeline } from './gitlab-pipeline.ts';
import { jiraIssue } from './jira-issue.ts';
import { slack } from './slack.ts';
import { teams } from './teams.ts';

/** A format that tells another product, in its own words. */
export type ProductFormat = Exclude<WebhookFormat, { kind: 'cloud_event' }>;

export function requestsOf(
  format: ProductFormat,
  facts: EventFacts,
  externalId: string | null,
): readonly FormatRequest[] {
  switch (format.kind) {
    case 'github_issue':
      return githubIssue(format, facts, externalId);
    case 'jira_issue':
      return jiraIssue(format, facts, externalId);
    case 'github_actions':
      return githubActions(format, facts, externalId);
    case 'gitlab_pipeline':
      return gitlabPipeline(format, facts, externalId);
    case 'slack':
      return slack(format, facts, externalId);
    case 'teams':
      return teams(format, facts, externalId);
  }
}

/** Whether a format tells what becomes of a task, in something that it opens once for each. */
export function keepsThreads({ kind }: WebhookFormat): boolean {
  return kind === 'github_issue' || kind === 'jira_issue';
}
