import { create, fromJson, type JsonValue, toJson } from '@bufbuild/protobuf';
import { durationFromMs, durationMs, ValueSchema } from '@bufbuild/protobuf/wkt';
import { type EventRule as ContractEventRule, EventRuleSchema } from '@dstc/contract/dstc/v1/event_rule_pb';
import {
  ApplyEventRuleRequestSchema,
  DeleteEventRuleRequestSchema,
  EventRuleService,
  GetEventRuleRequestSchema,
  ListEventRulesRequestSchema,
  TestEventRuleRequestSchema,
  type TestEventRuleResponse,
} from '@dstc/contract/dstc/v1/event_rule_service_pb';
import type { Caller } from './caller.ts';
import { type CloudEvent, contractEvent } from './cloud-event.ts';
import { errorOfItem } from './error-details.ts';
import type { DstcError } from './errors.ts';
import { decodePayload } from './payload.ts';
import { dateOf } from './task.ts';

/** A rule to be, by which events become tasks. Expressions are in CEL over `event`, in templates as `${ … }`. */
export interface EventRuleDefinition {
  /** Such as `orders.invoice`. */
  readonly name: string;
  readonly description?: string | undefined;
  /** Exact, or with a final `*`. */
  readonly eventType: string;
  /** The same; left out, any. */
  readonly eventSource?: string | undefined;
  /** An expression; left out, it holds. */
  readonly condition?: string | undefined;
  /** What to submit to. */
  readonly taskType: string;
  /** A template; left out, the event's data as it came. */
  readonly input?: JsonValue | undefined;
  /** Templates. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** 0 to 9; left out, the task type's. */
  readonly priority?: number | undefined;
  readonly delayMs?: number | undefined;
  /** As read before, to change just that version. */
  readonly etag?: string | undefined;
}

/** A rule as it is. */
export interface EventRule extends EventRuleDefinition {
  readonly namespace: string;
  readonly etag: string;
  readonly createTime: Date | undefined;
  readonly updateTime: Date | undefined;
}

/** What a rule would make of an event. */
export interface EventRuleTest {
  readonly matches: boolean;
  /** Undefined without a match, and with an error. */
  readonly submission:
    | {
        readonly taskType: string;
        readonly input: unknown;
        readonly labels: Readonly<Record<string, string>>;
        readonly priority: number | undefined;
        readonly delayMs: number | undefined;
        readonly idempotencyKey: string;
      }
    | undefined;
  /** Why there would be no task although the rule is for the event. */
  readonly error: DstcError | undefined;
}

export interface EventRules {
  /** Creates or replaces a rule. */
  apply(definition: EventRuleDefinition): Promise<EventRule>;
  get(name: string): Promise<EventRule>;
  /** By name, page by page. */
  list(): AsyncIterable<EventRule>;
  /** With an etag only that version. */
  delete(name: string, options?: { readonly etag?: string | undefined }): Promise<void>;
  /** Tries a rule that is there, by its name, or one to be; nothing is submitted. */
  test(rule: string | EventRuleDefinition, event: CloudEvent): Promise<EventRuleTest>;
}

export function createEventRules(caller: Caller, namespace: string): EventRules {
  const { method } = EventRuleService;
  return {
    async apply(definition) {
      const request = create(ApplyEventRuleRequestSchema, { rule: contractOf(namespace, definition) });
      // With an etag, a retry after a lost answer would be refused although the change was made.
      const retriable = definition.etag === undefined;
      return eventRuleOf((await caller.unary(method.applyEventRule, request, { retriable })).rule);
    },
    async get(name) {
      const request = create(GetEventRuleRequestSchema, { namespace, name });
      return eventRuleOf((await caller.unary(method.getEventRule, request)).rule);
    },
    async *list() {
      let pageToken = '';
      do {
        const request = create(ListEventRulesRequestSchema, { namespace, pageToken });
        const page = await caller.unary(method.listEventRules, request);
        yield* page.rules.map(eventRuleOf);
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
    },
    async delete(name, { etag = '' } = {}) {
      const request = create(DeleteEventRuleRequestSchema, { namespace, name, etag });
      // A retry after a lost answer would find nothing although this call has deleted it.
      await caller.unary(method.deleteEventRule, request, { retriable: false });
    },
    async test(rule, event) {
      const request = create(TestEventRuleRequestSchema, {
        namespace,
        which:
          typeof rule === 'string'
            ? { case: 'name', value: rule }
            : { case: 'rule', value: contractOf(namespace, rule) },
        event: contractEvent(event),
      });
      return testOf(await caller.unary(method.testEventRule, request));
    },
  };
}

function contractOf(namespace: string, definition: EventRuleDefinition): ContractEventRule {
  const { name, description, eventType, eventSource, condition, taskType, input, labels, priority, delayMs, etag } =
    definition;
  return create(EventRuleSchema, {
    namespace,
    name,
    eventType,
    taskType,
    ...(description !== undefined && { description }),
    ...(eventSource !== undefined && { eventSource }),
    ...(condition !== undefined && { condition }),
    ...(input !== undefined && { input: fromJson(ValueSchema, input) }),
    ...(labels !== undefined && { labels: { ...labels } }),
    ...(priority !== undefined && { priority }),
    ...(delayMs !== undefined && { delay: durationFromMs(delayMs) }),
    ...(etag !== undefined && { etag }),
  });
}

function eventRuleOf(rule: ContractEventRule | undefined): EventRule {
  if (rule === undefined) throw new Error('the coordinator answered without an event rule');
  return {
    namespace: rule.namespace,
    name: rule.name,
    description: rule.description || undefined,
    eventType: rule.eventType,
    eventSource: rule.eventSource || undefined,
    condition: rule.condition || undefined,
    taskType: rule.taskType,
    input: rule.input && toJson(ValueSchema, rule.input),
    labels: Object.keys(rule.labels).length === 0 ? undefined : rule.labels,
    priority: rule.priority,
    delayMs: rule.delay && durationMs(rule.delay),
    etag: rule.etag,
    createTime: dateOf(rule.createTime),
    updateTime: dateOf(rule.updateTime),
  };
}

function testOf({ matches, submission, error }: TestEventRuleResponse): EventRuleTest {
  return {
    matches,
    submission: submission && {
      taskType: submission.taskType,
      input: decodePayload(submission.input),
      labels: submission.labels,
      priority: submission.priority,
      delayMs: submission.delay && durationMs(submission.delay),
      idempotencyKey: submission.idempotencyKey,
    },
    error: error && errorOfItem(error),
  };
}
