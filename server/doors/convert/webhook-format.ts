import { create } from '@bufbuild/protobuf';
import {
  GitHubActionsFormatSchema,
  GitHubIssueFormatSchema,
  GitLabPipelineFormatSchema,
  JiraIssueFormatSchema,
  SlackFormatSchema,
  TeamsFormatSchema,
  type Webhook,
} from '@dstc/contract/dstc/v1/webhook_pb';
import type { WebhookFormat } from '../../domain/webhook.ts';

const issueTypeDefault = 'Task';

/** A format with its defaults filled in. */
export function webhookFormatOf({ format }: Webhook): WebhookFormat {
  switch (format.case) {
    case undefined:
      return { kind: 'cloud_event' };
    case 'githubIssue': {
      const { labels, assignees, keepOpen } = format.value;
      return { kind: 'github_issue', labels, assignees, keepOpen };
    }
    case 'jiraIssue': {
      const { project, issueType, labels, doneTransition, reopenTransition } = format.value;
      const type = issueType || issueTypeDefault;
      return { kind: 'jira_issue', project, issueType: type, labels, doneTransition, reopenTransition };
    }
    case 'githubActions': {
      const { workflow, ref, inputs } = format.value;
      return { kind: 'github_actions', workflow, ref, inputs };
    }
    case 'gitlabPipeline': {
      const { ref, token, variables } = format.value;
      return { kind: 'gitlab_pipeline', ref, token, variables };
    }
    case 'slack':
      return { kind: 'slack' };
    case 'teams':
      return { kind: 'teams' };
  }
}

/** Without what is secret of it. */
export function toWebhookFormat(format: WebhookFormat): Webhook['format'] {
  switch (format.kind) {
    case 'cloud_event':
      return { case: undefined };
    case 'github_issue': {
      const { labels, assignees, keepOpen } = format;
      const value = create(GitHubIssueFormatSchema, { labels: [...labels], assignees: [...assignees], keepOpen });
      return { case: 'githubIssue', value };
    }
    case 'jira_issue': {
      const { project, issueType, labels, doneTransition, reopenTransition } = format;
      const fields = { project, issueType, labels: [...labels], doneTransition, reopenTransition };
      return { case: 'jiraIssue', value: create(JiraIssueFormatSchema, fields) };
    }
    case 'github_actions': {
      const { workflow, ref, inputs } = format;
      return {
        case: 'githubActions',
        value: create(GitHubActionsFormatSchema, { workflow, ref, inputs: { ...inputs } }),
      };
    }
    case 'gitlab_pipeline': {
      const value = create(GitLabPipelineFormatSchema, { ref: format.ref, variables: { ...format.variables } });
      return { case: 'gitlabPipeline', value };
    }
    case 'slack':
      return { case: 'slack', value: create(SlackFormatSchema) };
    case 'teams':
      return { case: 'teams', value: create(TeamsFormatSchema) };
  }
}
