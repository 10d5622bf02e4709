import { create, fromJson, type JsonObject, toJson } from '@bufbuild/protobuf';
import { EventFilterSchema } from '@dstc/contract/dstc/v1/event_service_pb';
import { LabelOperator } from '@dstc/contract/dstc/v1/task_filter_pb';
import { type Webhook as ContractWebhook, WebhookSchema } from '@dstc/contract/dstc/v1/webhook_pb';
import { type LabelCondition, selectorOf } from './task-filter.ts';

/** Which events: those for which all of it holds. What is left out does not matter. */
export interface EventFilter {
  /** Such as `dstc.task.failed.v1`, or what types begin with and a `*`. */
  readonly types?: readonly string[] | undefined;
  readonly taskTypes?: readonly string[] | undefined;
  readonly taskIds?: readonly string[] | undefined;
  readonly labels?: Readonly<Record<string, LabelCondition>> | undefined;
}

/** What requests of a webhook look like: one of these. The comments of `dstc.v1.Webhook` say what each of them needs. */
export type WebhookFormat =
  | {
      readonly githubIssue: {
        readonly labels?: readonly string[];
        readonly assignees?: readonly string[];
        readonly keepOpen?: boolean;
      };
    }
  | {
      readonly jiraIssue: {
        readonly project: string;
        readonly issueType?: string;
        readonly labels?: readonly string[];
        readonly doneTransition?: string;
        readonly reopenTransition?: string;
      };
    }
  | {
      readonly githubActions: {
        readonly workflow?: string;
        readonly ref?: string;
        readonly inputs?: Readonly<Record<string, string>>;
      };
    }
  | {
      readonly gitlabPipeline: {
        readonly ref: string;
        readonly token?: string;
        readonly variables?: Readonly<Record<string, string>>;
      };
    }
  | { readonly slack: Readonly<Record<string, never>> }
  | { readonly teams: Readonly<Record<string, never>> };

/** What people set of a webhook. */
export interface WebhookDefinition {
  readonly url: string;
  readonly description?: string | undefined;
  /** Left out: every event that concerns a task type. */
  readonly filter?: EventFilter | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Their values are never shown; in an update an empty one stays as it is. */
  readonly secretHeaders?: Readonly<Record<string, string>> | undefined;
  /** Left out: signed CloudEvents. */
  readonly format?: WebhookFormat | undefined;
  readonly disabled?: boolean | undefined;
}

/** As the contract has it. Throws for a format that has fields which nobody knows. */
export function contractOf(definition: WebhookDefinition): ContractWebhook {
  const { url, description = '', filter = {}, headers = {}, secretHeaders = {}, disabled = false } = definition;
  const webhook = fromJson(WebhookSchema, (definition.format ?? {}) as unknown as JsonObject);
  return Object.assign(webhook, { url, description, headers, secretHeaders, disabled, filter: filterOf(filter) });
}

function filterOf({ types = [], taskTypes = [], taskIds = [], labels = {} }: EventFilter) {
  return create(EventFilterSchema, {
    types: [...types],
    taskTypes: [...taskTypes],
    taskIds: [...taskIds],
    labelSelectors: Object.entries(labels).map(([key, condition]) => selectorOf(key, condition)),
  });
}

export function definitionOf(webhook: ContractWebhook): WebhookDefinition {
  const { url, description, headers, secretHeaders, disabled, filter } = webhook;
  const { types = [], taskTypes = [], taskIds = [], labels = {}, labelSelectors = [] } = filter ?? {};
  const conditions = labelSelectors.map(({ key, operator, values }) => [key, conditionOf(operator, values)]);
  return {
    ...{ url, description, headers, secretHeaders, disabled },
    filter: { types, taskTypes, taskIds, labels: { ...labels, ...Object.fromEntries(conditions) } },
    format: formatOf(webhook),
  };
}

function conditionOf(operator: LabelOperator, values: readonly string[]): LabelCondition {
  switch (operator) {
    case LabelOperator.UNSPECIFIED:
    case LabelOperator.IN: {
      const [only] = values;
      return values.length === 1 && only !== undefined ? only : { in: values };
    }
    case LabelOperator.NOT_IN:
      return { notIn: values };
    case LabelOperator.EXISTS:
      return { exists: true };
    case LabelOperator.NOT_EXISTS:
      return { exists: false };
  }
}

/** The one field of the message that is set in its `format`, by its name. */
function formatOf({ format }: ContractWebhook): WebhookFormat | undefined {
  if (format.case === undefined) return undefined;
  return toJson(WebhookSchema, create(WebhookSchema, { format })) as unknown as WebhookFormat;
}
