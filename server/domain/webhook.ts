/** How far a delivery has come; `dstc.v1.WebhookDeliveryState` without its prefix. */
export const webhookDeliveryStates = ['PENDING', 'SUCCEEDED', 'DEAD_LETTER'] as const;
export type WebhookDeliveryState = (typeof webhookDeliveryStates)[number];

/** What the requests of a webhook look like; `dstc.v1.Webhook.format` with its defaults filled in. */
export type WebhookFormat =
  | { readonly kind: 'cloud_event' }
  | {
      readonly kind: 'github_issue';
      readonly labels: readonly string[];
      readonly assignees: readonly string[];
      readonly keepOpen: boolean;
    }
  | {
      readonly kind: 'jira_issue';
      readonly project: string;
      readonly issueType: string;
      readonly labels: readonly string[];
      /** Empty is none. */
      readonly doneTransition: string;
      readonly reopenTransition: string;
    }
  | {
      readonly kind: 'github_actions';
      /** Empty sends a `repository_dispatch`. */
      readonly workflow: string;
      readonly ref: string;
      readonly inputs: Readonly<Record<string, string>>;
    }
  | {
      readonly kind: 'gitlab_pipeline';
      readonly ref: string;
      /** A secret. */
      readonly token: string;
      readonly variables: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'slack' }
  | { readonly kind: 'teams' };
