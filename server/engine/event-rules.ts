import { randomUUID } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { CloudEvent } from '../domain/cloud-event.ts';
import { DstcError, eventRuleNotFound, taskTypeNotFound } from '../domain/errors.ts';
import {
  type ApplyRule,
  checkTemplateSize,
  compileEventRule,
  type EventRule,
  isRuleFor,
} from '../domain/event-rule.ts';
import { createExpressions } from '../domain/expression/expression.ts';
import { limits } from '../domain/limits.ts';
import type { Database } from '../store/database.ts';
import {
  countEventRules,
  deleteCurrentEventRule,
  type EventRuleRow,
  insertNewEventRule,
  selectEventRule,
  selectEventRules,
  selectEventRuleVersions,
  updateCurrentEventRule,
} from '../store/event-rules.ts';
import type { TaskTypes } from './task-types.ts';

/** A rule, ready for events. */
export interface KnownEventRule {
  readonly row: EventRuleRow;
  readonly apply: ApplyRule;
}

/** Who changes a rule. */
export interface RuleChange {
  /** Undefined changes any version. */
  readonly expectedEtag: string | undefined;
  /** Whether a rule that submits to this task type may be changed. */
  readonly mayChange: (taskType: string) => boolean;
}

export interface EventRules {
  /** Rules for events of this type and source, by name, as they were at most a second ago. */
  readonly firing: (
    namespace: string,
    event: Pick<CloudEvent, 'type' | 'source'>,
  ) => Promise<readonly KnownEventRule[]>;
  /** A rule that may be applied later; throws FIELD_INVALID. */
  readonly compile: (rule: EventRule) => ApplyRule;
  /**
   * Creates or replaces; rejects with `FIELD_INVALID`, `TASK_TYPE_NOT_FOUND`, `ETAG_MISMATCH`, `STATE_CONFLICT` when there
   * are too many, or `PERMISSION_MISSING` when the one that would be replaced may not be changed.
   */
  readonly apply: (rule: EventRule, change: RuleChange) => Promise<EventRuleRow>;
  /** Rejects with `EVENT_RULE_NOT_FOUND`, also when it may not be changed, or `ETAG_MISMATCH`. */
  readonly delete: (which: Pick<EventRule, 'namespace' | 'name'>, change: RuleChange) => Promise<void>;
}

/** A second is how late a change may be on another node; see `task-types.ts`. */
const freshMs = 1_000;
const namespacesMax = 10_000;
const knownRulesMax = 20_000;
/** Times that a change begins anew when somebody else has changed the same rule in between. */
const triesMax = 5;

export function createEventRules(deps: { readonly database: Database; readonly types: TaskTypes }): EventRules {
  const { database, types } = deps;
  const compileExpression = createExpressions();
  const known = new LRUCache<string, ReadonlyMap<string, KnownEventRule>>({
    maxSize: knownRulesMax,
    sizeCalculation: (rules) => rules.size + 1,
  });
  const fresh = new LRUCache<string, Promise<ReadonlyMap<string, KnownEventRule>>>({
    max: namespacesMax,
    ttl: freshMs,
  });

  function knownRule(row: EventRuleRow): KnownEventRule {
    // Compiled by the first event that it is for: a namespace has a thousand of them.
    let compiled: ApplyRule | undefined;
    return {
      row,
      apply(view) {
        compiled ??= compileEventRule(compileExpression, row);
        return compiled(view);
      },
    };
  }

  async function load(namespace: string): Promise<ReadonlyMap<string, KnownEventRule>> {
    const versions = await database.query((orm) => selectEventRuleVersions(orm, namespace));
    const last = known.get(namespace);
    const changed = versions.filter(({ name, etag }) => last?.get(name)?.row.etag !== etag).map(({ name }) => name);
    if (last !== undefined && changed.length === 0 && last.size === versions.length) return last;
    const rows = changed.length === 0 ? [] : await database.query((orm) => selectEventRules(orm, namespace, changed));
    const news = new Map(rows.map((row) => [row.name, knownRule(row)]));
    // One that was deleted between the two statements is in neither.
    const rules = versions.flatMap(({ name }) => {
      const rule = changed.includes(name) ? news.get(name) : last?.get(name);
      return rule === undefined ? [] : [[name, rule] as const];
    });
    const all = new Map(rules);
    known.set(namespace, all);
    return all;
  }

  function rulesOf(namespace: string): Promise<ReadonlyMap<string, KnownEventRule>> {
    const found = fresh.get(namespace);
    if (found !== undefined) return found;
    const loading = load(namespace);
    fresh.set(namespace, loading);
    loading.catch(() => fresh.delete(namespace));
    return loading;
  }

  /** Tries to make a change on what is there now; undefined when that has changed meanwhile. */
  async function changing<Result>(
    which: Pick<EventRule, 'namespace' | 'name'>,
    attempt: (current: EventRuleRow | undefined) => Promise<Result | undefined>,
  ): Promise<Result> {
    for (let tries = 0; tries < triesMax; tries += 1) {
      const current = await database.query((orm) => selectEventRule(orm, which));
      const result = await attempt(current);
      fresh.delete(which.namespace);
      if (result !== undefined) return result;
    }
    throw etagMismatch(which.name);
  }

  return {
    async firing(namespace, event) {
      const rules = await rulesOf(namespace);
      return [...rules.values()].filter(({ row }) => isRuleFor(row, event));
    },

    compile: compileChecked,

    async apply(rule, change) {
      compileChecked(rule);
      const { row: type } = await types.get(rule.namespace, rule.taskType);
      if (type.deleteTime !== null) throw taskTypeNotFound(rule.taskType);
      return changing(rule, async (current) => {
        if (current !== undefined && !change.mayChange(current.taskType)) throw foreignRule(rule);
        checkEtag(rule.name, current, change);
        const value = { ...rule, labels: { ...rule.labels }, etag: randomUUID() };
        if (current === undefined) {
          if ((await database.query((orm) => countEventRules(orm, rule.namespace))) >= limits.eventRulesMax) {
            throw tooManyRules(rule.namespace);
          }
          return database.query((orm) => insertNewEventRule(orm, value));
        }
        return database.query((orm) => updateCurrentEventRule(orm, value, current.etag));
      });
    },

    async delete(which, change) {
      await changing(which, async (current) => {
        if (current === undefined || !change.mayChange(current.taskType)) throw eventRuleNotFound(which.name);
        checkEtag(which.name, current, change);
        return (await database.query((orm) => deleteCurrentEventRule(orm, which, current.etag))) || undefined;
      });
    },
  };

  function compileChecked(rule: EventRule): ApplyRule {
    if (rule.input !== null) checkTemplateSize('rule.input', rule.input);
    return compileEventRule(compileExpression, rule);
  }
}

function checkEtag(name: string, current: EventRuleRow | undefined, { expectedEtag }: RuleChange): void {
  if (expectedEtag !== undefined && current?.etag !== expectedEtag) throw etagMismatch(name);
}

function etagMismatch(name: string): DstcError {
  return new DstcError('ETAG_MISMATCH', `event rule ${name} is not at the etag you sent; read it again`, {
    metadata: { event_rule: name },
  });
}

function tooManyRules(namespace: string): DstcError {
  return new DstcError(
    'STATE_CONFLICT',
    `namespace ${namespace} has ${limits.eventRulesMax} event rules; delete some`,
    {
      metadata: { namespace, limit: String(limits.eventRulesMax) },
    },
  );
}

/** Names are one list for a whole namespace, so that one is taken cannot be hidden. Whose it is can. */
function foreignRule({ namespace, name }: EventRule): DstcError {
  return new DstcError(
    'PERMISSION_MISSING',
    `the name ${name} is that of an event rule that you may not change; use another name`,
    { metadata: { permission: 'configure', namespace, event_rule: name } },
  );
}
