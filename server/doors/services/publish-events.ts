import { create } from '@bufbuild/protobuf';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import {
  CloudEventSchema,
  EventDisposition,
  type EventRuleOutcome,
  EventRuleOutcomeSchema,
  type PublishEventResult,
  PublishEventResultSchema,
  type PublishedEvent,
  PublishedEventSchema,
} from '@dstc/contract/dstc/v1/cloud_event_pb';
import type { EventService } from '@dstc/contract/dstc/v1/event_service_pb';
import type { Logger } from 'pino';
import type { Caller } from '../../auth/caller.ts';
import { type CloudEvent, checkCloudEvent } from '../../domain/cloud-event.ts';
import { DstcError, fieldInvalid } from '../../domain/errors.ts';
import { checkPayloadSize } from '../../domain/payload.ts';
import type { FireEvent, RuleOutcome } from '../../engine/fire-event.ts';
import { callerOf, traceParentOf } from '../context.ts';
import { cloudEventOf } from '../convert/cloud-event.ts';
import { namespaceOf } from '../convert/namespace.ts';
import { callErrorOf, toDstcError } from '../errors.ts';
import { validateMessage } from '../validate.ts';
import { type ReportByEvent, reportTypes } from '../worker/report-event.ts';
import { throwIfNoneWasTried } from './closed-door.ts';

export interface PublishEventsDeps {
  readonly fireEvent: FireEvent;
  readonly reportByEvent: ReportByEvent;
  readonly payloadBytesMax: number;
  readonly log: Logger;
}

/** Whose events they are. */
export interface Publisher {
  readonly caller: Caller;
  readonly namespace: string;
  readonly traceParent: string | undefined;
  readonly signal: AbortSignal;
}

/** Takes events, whichever way they have come. */
export interface EventIntake {
  /** One event. Rejects with what is wrong with it, or when nothing but errors came of it. */
  readonly publish: (event: CloudEvent, from: Publisher) => Promise<PublishedEvent>;
  /** A batch: each event is read on its own, so that one that cannot be read fails alone. */
  readonly publishAll: (read: readonly (() => CloudEvent)[], from: Publisher) => Promise<PublishEventResult[]>;
}

export function createEventIntake(deps: PublishEventsDeps): EventIntake {
  async function publish(event: CloudEvent, from: Publisher): Promise<PublishedEvent> {
    checkCloudEvent(event);
    if (event.data !== undefined) checkPayloadSize('data', event.data, deps.payloadBytesMax);
    if (reportTypes.has(event.type)) {
      const settlement = await deps.reportByEvent(event, from);
      return create(PublishedEventSchema, { disposition: EventDisposition.REPORTED, settlement });
    }
    const { caller, namespace, traceParent, signal } = from;
    const outcomes = await deps.fireEvent(event, {
      namespace,
      creator: caller.principal.actor,
      traceParent,
      maySubmit: (type) => caller.may('submit', namespace, type),
      signal,
    });
    throwIfInVain(outcomes);
    const disposition = outcomes.length === 0 ? EventDisposition.IGNORED : EventDisposition.SUBMITTED;
    return create(PublishedEventSchema, { disposition, rules: outcomes.map(toRuleOutcome) });
  }

  return {
    publish,

    async publishAll(read, from) {
      const inTurn = new Map<string, Promise<unknown>>();
      const outcomes = await Promise.all(
        read.map(async (readOne): Promise<PublishedEvent | DstcError> => {
          try {
            const event = readOne();
            if (!reportTypes.has(event.type)) return await publish(event, from);
            // Reports on one task are taken in their order: what is said after its end would be lost.
            const before = inTurn.get(event.subject ?? '');
            const published = Promise.resolve(before).then(() => publish(event, from));
            inTurn.set(
              event.subject ?? '',
              published.catch(() => undefined),
            );
            return await published;
          } catch (error) {
            return toDstcError(deps, error, { rpc: 'dstc.v1.EventService/PublishEvents' });
          }
        }),
      );
      throwIfNoneWasTried(outcomes);
      return outcomes.map((outcome, index) =>
        create(PublishEventResultSchema, {
          index,
          result:
            outcome instanceof DstcError
              ? { case: 'error', value: callErrorOf(outcome) }
              : { case: 'event', value: outcome },
        }),
      );
    },
  };
}

/** The RPCs of EventService by which events come in. */
export function publishEvents({
  publish,
  publishAll,
}: EventIntake): Pick<ServiceImpl<typeof EventService>, 'publishEvent' | 'publishEvents'> {
  return {
    async publishEvent({ namespace, event }, context) {
      if (event === undefined) throw fieldInvalid('event', 'is required');
      return { event: await publish(cloudEventOf(event), publisherOf({ namespace }, context)) };
    },

    async publishEvents({ namespace, events }, context) {
      const read = events.map((event) => () => {
        validateMessage(CloudEventSchema, event);
        return cloudEventOf(event);
      });
      return { results: await publishAll(read, publisherOf({ namespace }, context)) };
    },
  };
}

function publisherOf(request: { readonly namespace: string }, context: HandlerContext): Publisher {
  return {
    caller: callerOf(context),
    namespace: namespaceOf(request),
    traceParent: traceParentOf(context),
    signal: context.signal,
  };
}

/**
 * What may pass is the event's error whatever else came of it: sending it again makes each task once. So is the first of
 * errors when there is nothing else.
 */
function throwIfInVain(outcomes: readonly RuleOutcome[]): void {
  const failures = outcomes.flatMap(({ rule, result }) =>
    result instanceof DstcError ? [{ error: result, rule }] : [],
  );
  const passing = failures.find(({ error }) => mayPass(error));
  const first = passing ?? (failures.length === outcomes.length ? failures[0] : undefined);
  if (first === undefined) return;
  const { error, rule } = first;
  throw new DstcError(error.reason, error.message, {
    metadata: { ...error.metadata, event_rule: rule },
    violations: error.violations,
    ...(error.retryDelayMs !== undefined && { retryDelayMs: error.retryDelayMs }),
    cause: error,
  });
}

function mayPass({ code, reason }: DstcError): boolean {
  return code === 'UNAVAILABLE' || (code === 'RESOURCE_EXHAUSTED' && reason !== 'PAYLOAD_TOO_LARGE');
}

function toRuleOutcome({ rule, taskType, result }: RuleOutcome): EventRuleOutcome {
  return create(
    EventRuleOutcomeSchema,
    result instanceof DstcError
      ? { rule, taskType, result: { case: 'error', value: callErrorOf(result) } }
      : {
          rule,
          taskType,
          result: { case: 'taskId', value: result.taskId },
          alreadyExisted: result.alreadyExisted,
        },
  );
}
