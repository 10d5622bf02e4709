import { createHash } from 'node:crypto';
import { setImmediate as otherWork } from 'node:timers/promises';
import canonicalize from 'canonicalize';
import type { CloudEvent } from '../domain/cloud-event.ts';
import { DstcError } from '../domain/errors.ts';
import type { EventRule, RuleProduct } from '../domain/event-rule.ts';
import { type EventView, viewEvent } from '../domain/event-view.ts';
import { jsonContentType, jsonPayload, type Payload } from '../domain/payload.ts';
import { validTraceParent } from '../domain/trace-parent.ts';
import type { EventRules } from './event-rules.ts';
import type { Submission, Submit } from './submit.ts';

/** Who sends an event. */
export interface EventSender {
  readonly namespace: string;
  readonly creator: string;
  /** Of the call; one that the event has comes first. */
  readonly traceParent: string | undefined;
  readonly maySubmit: (taskType: string) => boolean;
  readonly signal: AbortSignal;
}

/** What one rule made of an event. */
export interface RuleOutcome {
  readonly rule: string;
  readonly taskType: string;
  readonly result: { readonly taskId: string; readonly alreadyExisted: boolean } | DstcError;
}

/**
 * Submits what the rules make of an event; rules that its sender may not submit by are passed over. Resolves after the
 * commits. One rule's error is that rule's alone.
 */
export type FireEvent = (event: CloudEvent, from: EventSender) => Promise<readonly RuleOutcome[]>;

export interface FireEventDeps {
  readonly eventRules: EventRules;
  readonly submit: Submit;
  readonly payloadBytesMax: number;
}

export function createFireEvent(deps: FireEventDeps): FireEvent {
  return async (event, from) => {
    const rules = await deps.eventRules.firing(from.namespace, event);
    const view = viewEvent(event);
    const outcomes: Promise<RuleOutcome | undefined>[] = [];
    for (const { row, apply } of rules.filter((rule) => from.maySubmit(rule.row.taskType))) {
      // Expressions may take their time, and a batch has many.
      await otherWork();
      if (from.signal.aborted) break;
      const outcome = attempt(async () => {
        const product = apply(view);
        if (product === undefined) return undefined;
        const submitted = await deps.submit(ruleSubmission(deps, row, view, product, from));
        return submitted.kind === 'inserted'
          ? { taskId: submitted.inserted.id, alreadyExisted: false }
          : { taskId: submitted.id, alreadyExisted: true };
      });
      const named = outcome.then((result) => result && { rule: row.name, taskType: row.taskType, result });
      // A fault is met below, after the other rules.
      named.catch(() => undefined);
      outcomes.push(named);
    }
    const ended = await Promise.all(outcomes);
    from.signal.throwIfAborted();
    return ended.filter((outcome) => outcome !== undefined);
  };
}

/** The task that a rule makes of an event. Throws PAYLOAD_TOO_LARGE. */
export function ruleSubmission(
  { payloadBytesMax }: Pick<FireEventDeps, 'payloadBytesMax'>,
  rule: EventRule,
  view: EventView,
  product: RuleProduct,
  from: Pick<EventSender, 'creator' | 'traceParent'>,
): Submission {
  const { event } = view;
  return {
    namespace: rule.namespace,
    type: rule.taskType,
    input: inputOf(event, product, payloadBytesMax),
    idempotency: { key: keyOf(rule, event), inputIdentity: identityOf(view), isWhole: true },
    priority: rule.priority ?? undefined,
    delayMs: rule.delayMs,
    availableTime: undefined,
    labels: product.labels,
    retryPolicy: undefined,
    startMs: undefined,
    deliveryMs: undefined,
    heartbeatMs: undefined,
    runMs: undefined,
    totalMs: undefined,
    dependencies: [],
    creator: from.creator,
    traceParent: traceParentOf(event) ?? from.traceParent,
  };
}

async function attempt<Result>(work: () => Promise<Result>): Promise<Result | DstcError> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof DstcError)) throw error;
    return error.reason === 'IDEMPOTENCY_CONFLICT' ? eventConflict(error) : error;
  }
}

/** The key is made here: its sender knows of none. */
function eventConflict({ metadata }: DstcError): DstcError {
  return new DstcError(
    'IDEMPOTENCY_CONFLICT',
    'an event with this source and id came before with other content, or from another sender; give each event an id of its own',
    { metadata },
  );
}

function inputOf({ data }: CloudEvent, { input }: RuleProduct, bytesMax: number): Payload {
  if (input !== undefined) return jsonPayload('input', input, bytesMax);
  return data ?? { data: new Uint8Array(), contentType: jsonContentType };
}

/** One event makes one task by a rule, and another one when the rule has come to mean another type of task. */
function keyOf({ name, taskType }: EventRule, { source, id }: CloudEvent): string {
  return `event:${sha256(JSON.stringify([name, taskType, source, id]))}`;
}

/** What makes an event sent again the same one. Its time and its extensions, such as those of a trace, may differ. */
function identityOf(view: EventView): Uint8Array {
  const { type, subject, data } = view.event;
  const json = view.json();
  const head = JSON.stringify([type, subject ?? null, data?.contentType ?? null]);
  const body = json === undefined ? (data?.data ?? '') : (canonicalize(json) ?? '');
  return createHash('sha256').update(head).update('\0').update(body).digest();
}

/** The extension for distributed tracing; one that is malformed counts as none. */
function traceParentOf({ extensions }: CloudEvent): string | undefined {
  return validTraceParent(Object.hasOwn(extensions, 'traceparent') ? extensions.traceparent : undefined);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
