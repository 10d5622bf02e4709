import { create, fromJson, type JsonValue, toJson } from '@bufbuild/protobuf';
import { ValueSchema } from '@bufbuild/protobuf/wkt';
import { type EventRule as EventRuleMessage, EventRuleSchema } from '@dstc/contract/dstc/v1/event_rule_pb';
import { type EventSubmission, EventSubmissionSchema } from '@dstc/contract/dstc/v1/event_rule_service_pb';
import { fieldInvalid } from '../../domain/errors.ts';
import type { EventRule } from '../../domain/event-rule.ts';
import type { Submission } from '../../engine/submit.ts';
import type { EventRuleRow } from '../../store/event-rules.ts';
import { namespaceOf } from './namespace.ts';
import { toPayload } from './payload.ts';
import { optionalMs, toDuration, toTimestamp } from './time.ts';

export function eventRuleOf(message: EventRuleMessage): EventRule {
  return {
    namespace: namespaceOf(message),
    name: message.name,
    description: message.description,
    eventType: message.eventType,
    eventSource: message.eventSource,
    condition: message.condition,
    taskType: message.taskType,
    input: templateOf(message.input),
    labels: message.labels,
    priority: message.priority ?? null,
    delayMs: optionalMs('rule.delay', message.delay) ?? 0,
  };
}

function templateOf(input: EventRuleMessage['input']): string | null {
  if (input === undefined) return null;
  let json: JsonValue;
  try {
    json = toJson(ValueSchema, input);
  } catch {
    throw fieldInvalid('rule.input', 'has a number that JSON cannot hold');
  }
  return JSON.stringify(json);
}

export function toEventRule(row: EventRuleRow): EventRuleMessage {
  const message = create(EventRuleSchema, {
    namespace: row.namespace,
    name: row.name,
    description: row.description,
    eventType: row.eventType,
    eventSource: row.eventSource,
    condition: row.condition,
    taskType: row.taskType,
    labels: row.labels,
    etag: row.etag,
    createTime: toTimestamp(row.createTime),
    updateTime: toTimestamp(row.updateTime),
  });
  if (row.input !== null) message.input = fromJson(ValueSchema, JSON.parse(row.input) as JsonValue);
  if (row.priority !== null) message.priority = row.priority;
  if (row.delayMs > 0) message.delay = toDuration(row.delayMs);
  return message;
}

/** What would be submitted, for people to look at. */
export function toEventSubmission(submission: Submission, wantsJson: boolean): EventSubmission {
  const { type, input, labels, priority, delayMs, idempotency } = submission;
  return create(EventSubmissionSchema, {
    taskType: type,
    input: toPayload(input, wantsJson),
    labels,
    idempotencyKey: idempotency?.key ?? '',
    ...(priority !== undefined && { priority }),
    ...(delayMs > 0 && { delay: toDuration(delayMs) }),
  });
}
