import { create } from '@bufbuild/protobuf';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import {
  type EventRuleService,
  type TestEventRuleRequest,
  type TestEventRuleResponse,
  TestEventRuleResponseSchema,
} from '@dstc/contract/dstc/v1/event_rule_service_pb';
import { checkCloudEvent } from '../../domain/cloud-event.ts';
import { DstcError, eventRuleNotFound, fieldInvalid } from '../../domain/errors.ts';
import { type EventRule, isRuleFor } from '../../domain/event-rule.ts';
import { viewEvent } from '../../domain/event-view.ts';
import { limits } from '../../domain/limits.ts';
import { checkInput } from '../../engine/check-input.ts';
import type { EventRules } from '../../engine/event-rules.ts';
import { ruleSubmission } from '../../engine/fire-event.ts';
import type { TaskTypes } from '../../engine/task-types.ts';
import type { Database } from '../../store/database.ts';
import { type EventRuleRow, selectEventRule, selectEventRulePage } from '../../store/event-rules.ts';
import { callerOf, traceParentOf } from '../context.ts';
import { cloudEventOf } from '../convert/cloud-event.ts';
import { eventRuleOf, toEventRule, toEventSubmission } from '../convert/event-rule.ts';
import { namespaceOf } from '../convert/namespace.ts';
import { pageSizeOf, positionOf, positions, toPageToken } from '../convert/page-token.ts';
import { typeFilterOf } from '../convert/type-filter.ts';
import { callErrorOf } from '../errors.ts';

export interface EventRuleServiceDeps {
  readonly database: Database;
  readonly eventRules: EventRules;
  readonly types: TaskTypes;
  readonly payloadBytesMax: number;
}

export function eventRuleService(deps: EventRuleServiceDeps): ServiceImpl<typeof EventRuleService> {
  const { database, eventRules } = deps;

  /** A rule whose task type the caller may not see does not exist. */
  async function visibleRule(
    request: { readonly namespace: string; readonly name: string },
    isVisible: (taskType: string) => boolean,
  ): Promise<EventRuleRow> {
    const row = await database.query((orm) => selectEventRule(orm, { ...request, namespace: namespaceOf(request) }));
    if (row === undefined || !isVisible(row.taskType)) throw eventRuleNotFound(request.name);
    return row;
  }

  async function ruleToTest(request: TestEventRuleRequest, context: HandlerContext): Promise<EventRule> {
    const namespace = namespaceOf(request);
    const caller = callerOf(context);
    if (request.which.case === 'rule') {
      const rule = eventRuleOf({ ...request.which.value, namespace });
      caller.require('configure', namespace, rule.taskType);
      return rule;
    }
    const name = request.which.value ?? '';
    return visibleRule({ namespace, name }, (type) => caller.may('configure', namespace, type));
  }

  return {
    async applyEventRule({ rule: message }, context) {
      if (message === undefined) throw fieldInvalid('rule', 'is required');
      const rule = eventRuleOf(message);
      const caller = callerOf(context);
      caller.require('configure', rule.namespace, rule.taskType);
      const row = await eventRules.apply(rule, {
        expectedEtag: message.etag || undefined,
        mayChange: (type) => caller.may('configure', rule.namespace, type),
      });
      return { rule: toEventRule(row) };
    },

    async getEventRule(request, context) {
      const caller = callerOf(context);
      const row = await visibleRule(request, (type) => caller.may('read', namespaceOf(request), type));
      return { rule: toEventRule(row) };
    },

    async listEventRules(request, context) {
      const namespace = namespaceOf(request);
      const list = ['event rules', namespace];
      const size = pageSizeOf(request.pageSize, limits.typePageSizeDefault);
      const readable = typeFilterOf(callerOf(context).typePatterns('read', namespace));
      const afterName = positionOf(list, request.pageToken, positions.name);
      const rows = await database.query((orm) =>
        selectEventRulePage(orm, { namespace, readable }, { afterName, size: size + 1 }),
      );
      const last = rows.length > size ? rows[size - 1] : undefined;
      return {
        rules: rows.slice(0, size).map(toEventRule),
        nextPageToken: last === undefined ? '' : toPageToken(list, last.name),
      };
    },

    async deleteEventRule(request, context) {
      const namespace = namespaceOf(request);
      const caller = callerOf(context);
      await eventRules.delete(
        { namespace, name: request.name },
        {
          expectedEtag: request.etag || undefined,
          mayChange: (type) => caller.may('configure', namespace, type),
        },
      );
      return {};
    },

    async testEventRule(request, context) {
      if (request.event === undefined) throw fieldInvalid('event', 'is required');
      const event = cloudEventOf(request.event);
      checkCloudEvent(event);
      const rule = await ruleToTest(request, context);
      const apply = eventRules.compile(rule);
      if (!isRuleFor(rule, event)) return create(TestEventRuleResponseSchema);
      const view = viewEvent(event);
      const caller = callerOf(context);
      return orError(async () => {
        const product = apply(view);
        if (product === undefined) return create(TestEventRuleResponseSchema);
        const from = { creator: caller.principal.actor, traceParent: traceParentOf(context) };
        const submission = ruleSubmission(deps, rule, view, product, from);
        await checkInput(deps, rule.namespace, rule.taskType, submission.input);
        return create(TestEventRuleResponseSchema, {
          matches: true,
          submission: toEventSubmission(submission, caller.wantsJson),
        });
      });
    },
  };
}

/** What the sender of the event would be told. */
async function orError(test: () => Promise<TestEventRuleResponse>): Promise<TestEventRuleResponse> {
  try {
    return await test();
  } catch (error) {
    if (!(error instanceof DstcError) || error.code === 'UNAVAILABLE') throw error;
    return create(TestEventRuleResponseSchema, { matches: true, error: callErrorOf(error) });
  }
}
