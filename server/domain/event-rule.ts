import type { CloudEvent } from './cloud-event.ts';
import { DstcError, fieldInvalid } from './errors.ts';
import type { EventView } from './event-view.ts';
import { BudgetSpent, createBudget } from './expression/budget.ts';
import { type CompileExpression, ExpressionInvalid } from './expression/expression.ts';
import type { JsonValue } from './json-value.ts';
import { limits } from './limits.ts';
import { compileField, compileTemplate, compileTextTemplate, TemplateFailed } from './template.ts';

/** A rule by which an event becomes a task: `dstc.v1.EventRule`. */
export interface EventRule {
  readonly namespace: string;
  readonly name: string;
  readonly description: string;
  /** Exact, or the beginning before a final `*`. */
  readonly eventType: string;
  /** The same; empty is any. */
  readonly eventSource: string;
  /** An expression; empty is true. */
  readonly condition: string;
  readonly taskType: string;
  /** A template, as JSON; null hands on the event's data. */
  readonly input: string | null;
  /** Templates. */
  readonly labels: Readonly<Record<string, string>>;
  readonly priority: number | null;
  readonly delayMs: number;
}

/** What a rule puts into a task. */
export interface RuleProduct {
  /** Undefined for the event's data as it came. */
  readonly input: JsonValue | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

/** What a rule makes of an event; undefined when its condition is not true. Throws EVENT_RULE_FAILED. */
export type ApplyRule = (view: EventView) => RuleProduct | undefined;

const labelCharactersMax = 256;

/** Whether a rule is for events of this type and source. */
export function isRuleFor(
  rule: Pick<EventRule, 'eventType' | 'eventSource'>,
  { type, source }: Pick<CloudEvent, 'type' | 'source'>,
): boolean {
  return matches(rule.eventType, type) && (rule.eventSource === '' || matches(rule.eventSource, source));
}

/** Compiles a rule; throws FIELD_INVALID with the place of what is wrong, under `rule`. */
export function compileEventRule(compileExpression: CompileExpression, rule: EventRule): ApplyRule {
  const compile = bounded(compileExpression);
  const condition = rule.condition === '' ? undefined : compileField(compile, 'rule.condition', rule.condition);
  const input = rule.input === null ? undefined : compileTemplate(compile, 'rule.input', JSON.parse(rule.input));
  const labels = Object.entries(rule.labels).map(([key, text]) => {
    const field = `rule.labels[${JSON.stringify(key)}]`;
    return { key, field, fill: compileTextTemplate(compile, field, text) };
  });

  function apply(view: EventView): RuleProduct | undefined {
    // One for all, so that many small expressions cost no more than a large one may.
    const budget = createBudget();
    const holds = condition?.(view, budget) ?? true;
    if (typeof holds !== 'boolean') throw new TemplateFailed('rule.condition', 'is neither true nor false');
    if (!holds) return undefined;
    return {
      input: input?.(view, budget),
      labels: Object.fromEntries(labels.map(({ key, field, fill }) => [key, checkedLabel(field, fill(view, budget))])),
    };
  }

  return (view) => {
    try {
      return apply(view);
    } catch (error) {
      if (error instanceof TemplateFailed) throw ruleFailed(rule, error.field, error.message);
      if (error instanceof BudgetSpent) throw ruleFailed(rule, 'rule', error.message);
      throw error;
    }
  };
}

/** What the contract allows in a label. */
function checkedLabel(field: string, value: string): string {
  if ([...value].length > labelCharactersMax) {
    throw new TemplateFailed(field, `is longer than ${labelCharactersMax} characters`);
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (/[\u0000-\u001f\u007f]/.test(value) || !value.isWellFormed()) {
    throw new TemplateFailed(field, 'has a character that a label cannot have');
  }
  return value;
}

/** All expressions of a rule together are bounded as well. */
function bounded(compile: CompileExpression): CompileExpression {
  let characters = 0;
  return (text) => {
    characters += text.length;
    if (characters > limits.ruleExpressionCharactersMax) {
      throw new ExpressionInvalid(
        `the expressions of the rule have more than ${limits.ruleExpressionCharactersMax} characters together`,
        0,
      );
    }
    return compile(text);
  };
}

/** Checks what a template weighs before it is looked at. */
export function checkTemplateSize(field: string, template: string): void {
  if (template.length <= limits.ruleTemplateCharactersMax) return;
  throw fieldInvalid(field, `has more than ${limits.ruleTemplateCharactersMax} characters`);
}

function matches(pattern: string, text: string): boolean {
  return pattern.endsWith('*') ? text.startsWith(pattern.slice(0, -1)) : text === pattern;
}

function ruleFailed({ name }: Pick<EventRule, 'name'>, field: string, description: string): DstcError {
  return new DstcError('EVENT_RULE_FAILED', `${field} of event rule ${name}: ${description}`, {
    metadata: { event_rule: name },
    violations: [{ field, description }],
  });
}
