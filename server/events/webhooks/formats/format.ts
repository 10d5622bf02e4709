import type { WebhookFormat } from '../../../domain/webhook.ts';
import type { EventFacts } from '../event-facts.ts';

/** A request of a delivery; a delivery has none, one or several, which are sent one after the other. */
export interface FormatRequest {
  readonly method: 'POST' | 'PATCH';
  /** Below the URL of the webhook; empty for the URL itself. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
  /** Answers that say that there is nothing to do here; the log keeps what they say. */
  readonly toleratedStatuses?: readonly number[];
  /** What the task is called from now on, by the answer; undefined when the answer does not say. */
  readonly nameIn?: (answer: unknown) => string | undefined;
}

/**
 * The requests that tell another product of an event. `externalId` is what it calls the task, null while it has no name
 * for it. Of several requests those that may be repeated come first, because all are sent again when a later one fails.
 */
export type Format<Kind extends WebhookFormat['kind']> = (
  format: Extract<WebhookFormat, { kind: Kind }>,
  facts: EventFacts,
  externalId: string | null,
) => readonly FormatRequest[];

export const jsonHeaders = { 'content-type': 'application/json' };
