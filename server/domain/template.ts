import { fieldInvalid } from './errors.ts';
import type { EventView } from './event-view.ts';
import type { Budget } from './expression/budget.ts';
import { textUnits } from './expression/budget.ts';
import {
  type CompileExpression,
  type Expression,
  ExpressionFailed,
  ExpressionInvalid,
} from './expression/expression.ts';
import { closingBraceAt } from './expression/scan.ts';
import type { JsonValue } from './json-value.ts';

/** What a template makes of an event. Throws TemplateFailed. */
export type Template<Value> = (view: EventView, budget: Budget) => Value;

/** An expression of a template that has no value for an event; `field` is its place in the rule. */
export class TemplateFailed extends Error {
  readonly field: string;
  constructor(field: string, message: string) {
    super(message);
    this.field = field;
  }
}

/** Compiles JSON with expressions in its texts. Throws FIELD_INVALID with the place, `field` being where the template stands. */
export function compileTemplate(compile: CompileExpression, field: string, json: JsonValue): Template<JsonValue> {
  if (typeof json === 'string') {
    const parts = partsOf(compile, field, json);
    const [only, ...others] = parts;
    // Wholly an expression: whatever type it has.
    if (only !== undefined && typeof only !== 'string' && others.length === 0) return evaluated(field, only);
    return joined(field, parts);
  }
  if (typeof json !== 'object' || json === null) return () => json;
  if (isList(json)) {
    const elements = json.map((element, index) => compileTemplate(compile, `${field}[${index}]`, element));
    return (view, budget) => elements.map((element) => element(view, budget));
  }
  const entries = Object.entries(json).map(
    ([name, value]) => [name, compileTemplate(compile, `${field}${step(name)}`, value)] as const,
  );
  return (view, budget) => Object.fromEntries(entries.map(([name, fill]) => [name, fill(view, budget)]));
}

/** Compiles a text with expressions in it. */
export function compileTextTemplate(compile: CompileExpression, field: string, text: string): Template<string> {
  return joined(field, partsOf(compile, field, text));
}

/** Compiles what is an expression without any sign. */
export function compileField(compile: CompileExpression, field: string, text: string): Template<JsonValue> {
  return evaluated(field, compiled(compile, field, text, 0));
}

function partsOf(compile: CompileExpression, field: string, text: string): readonly (string | Expression)[] {
  const parts: (string | Expression)[] = [];
  let literal = '';
  let at = 0;
  while (at < text.length) {
    if (text.startsWith('$${', at)) {
      literal += '${';
      at += 3;
    } else if (text.startsWith('${', at)) {
      const from = at + 2;
      const end = closingBraceAt(text, from);
      if (end === undefined) throw fieldInvalid(field, `at character ${at + 1}: \${ is not closed by }`);
      if (literal !== '') parts.push(literal);
      literal = '';
      parts.push(compiled(compile, field, text.slice(from, end), from));
      at = end + 1;
    } else {
      literal += text.charAt(at);
      at += 1;
    }
  }
  if (literal !== '') parts.push(literal);
  return parts;
}

function compiled(compile: CompileExpression, field: string, text: string, from: number): Expression {
  try {
    return compile(text);
  } catch (error) {
    if (!(error instanceof ExpressionInvalid)) throw error;
    throw fieldInvalid(field, `at character ${from + error.at + 1}: ${error.message}`);
  }
}

function evaluated(field: string, expression: Expression): Template<JsonValue> {
  return (view, budget) => {
    try {
      return expression.evaluate(view.variables(expression.usesData), budget);
    } catch (error) {
      if (!(error instanceof ExpressionFailed)) throw error;
      throw new TemplateFailed(field, error.message);
    }
  };
}

function joined(field: string, parts: readonly (string | Expression)[]): Template<string> {
  const fills = parts.map((part) => (typeof part === 'string' ? () => part : evaluated(field, part)));
  return (view, budget) => {
    const texts = fills.map((fill) => {
      const value = fill(view, budget);
      return typeof value === 'string' ? value : JSON.stringify(value);
    });
    budget.spend(textUnits(texts.reduce((length, text) => length + text.length, 0)));
    return texts.join('');
  };
}

function step(name: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
}

function isList(json: JsonValue): json is readonly JsonValue[] {
  return Array.isArray(json);
}
