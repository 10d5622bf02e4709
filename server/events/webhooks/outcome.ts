import type { Endpoint } from '../../store/endpoint.ts';
import { withoutSecrets } from './hide-secrets.ts';
import type { HttpAnswer } from './http-client.ts';
import { retryAfterMs } from './retry-after.ts';

/** What became of a delivery that was sent. */
export type Outcome =
  | {
      readonly is: 'taken';
      /** Null when there was nothing to send. */
      readonly status: number | null;
      /** What the other product calls the task from now on; null when it did not say. */
      readonly externalId: string | null;
      /** What is worth knowing all the same; empty when nothing is. */
      readonly remark: string;
    }
  /** Nobody wants events there any more. */
  | { readonly is: 'gone'; readonly status: number; readonly error: string }
  | { readonly is: 'failed'; readonly status: number | null; readonly error: string; readonly retryAfterMs: number };

/** It was not sent, because the filter of its webhook has changed and does not cover it any more. */
export interface LeftOut {
  readonly is: 'left out';
}

/** What is wrong with an answer or an endpoint. */
export type Failure = Extract<Outcome, { is: 'gone' | 'failed' }>;

/** Why an answer of an endpoint is no success; undefined when it is one. */
export function failureOf(
  answer: HttpAnswer,
  endpoint: Endpoint,
  bounds: { readonly retryAfterMsMax: number; readonly errorCharactersMax: number },
): Failure | undefined {
  const { status, headers } = answer;
  if (status >= 200 && status < 300) return undefined;
  const error = errorText(answer, (text) => printable(withoutSecrets(text, endpoint))).slice(
    0,
    bounds.errorCharactersMax,
  );
  if (status === 410) return { is: 'gone', status, error };
  const waitMs = retryAfterMs(headers, { nowMs: Date.now(), msMax: bounds.retryAfterMsMax }) ?? 0;
  return { is: 'failed', status, error, retryAfterMs: waitMs };
}

function errorText({ status, headers, body }: HttpAnswer, shown: (text: string) => string): string {
  if (status >= 300 && status < 400) {
    const target = headers.location === undefined ? '' : `: ${shown(headers.location)}`;
    return `HTTP ${status}: redirects are not followed; set the URL that this one leads to${target}`;
  }
  const said = shown(body).trim();
  return said === '' ? `HTTP ${status}` : `HTTP ${status}: ${said}`;
}

/** On one line, and without what would upset a terminal or Postgres. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\ufffd\s]+/g, ' ').toWellFormed();
}
