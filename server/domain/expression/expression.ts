import { type CelInput, type CelResult, isCelError, parse, plan } from '@bufbuild/cel';
import type { JsonValue } from '../json-value.ts';
import { limits } from '../limits.ts';
import { type Budget, BudgetSpent, nodeUnits } from './budget.ts';
import { createLanguage } from './language.ts';
import { tooDeepAt } from './scan.ts';
import { meteredSyntax } from './syntax.ts';
import { jsonOfCel } from './value.ts';

/** An expression, ready to be evaluated any number of times. */
export interface Expression {
  /** Whether it looks at more of the event than its attributes. */
  readonly usesData: boolean;
  /** The value as JSON. Throws ExpressionFailed. */
  readonly evaluate: (event: ReadonlyMap<string, CelInput>, budget: Budget) => JsonValue;
}

/** Compiles an expression. Throws ExpressionInvalid. */
export type CompileExpression = (text: string) => Expression;

/** A text that is no expression; `at` counts its characters from 0. */
export class ExpressionInvalid extends Error {
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

/** An expression that has no value for an event. The message has nothing of the event's data in it. */
export class ExpressionFailed extends Error {}

/** Expressions in CEL over `event`; all that one of these has compiled count their steps together. */
export function createExpressions(): CompileExpression {
  const language = createLanguage();

  return (text) => {
    const { expr, usesData } = syntaxOf(text, language.hasFunction);
    const evaluate = plan(language.env, expr) as (variables: Record<string, CelInput>) => CelResult;
    return {
      usesData,
      evaluate: (event, budget) =>
        language.metered(budget, () => {
          try {
            budget.spend(nodeUnits * text.length);
            const result = evaluate({ event });
            if (budget.isSpent()) throw new BudgetSpent();
            if (isCelError(result)) throw result;
            return jsonOfCel(result, budget);
          } catch (error) {
            throw new ExpressionFailed(budget.isSpent() ? new BudgetSpent().message : harmless(error));
          }
        }),
    };
  };
}

function syntaxOf(text: string, hasFunction: (name: string) => boolean) {
  if (text.length > limits.expressionCharactersMax) {
    throw new ExpressionInvalid(
      `is longer than ${limits.expressionCharactersMax} characters`,
      limits.expressionCharactersMax,
    );
  }
  // The parser takes time by a power of the depth.
  const tooDeep = tooDeepAt(text, limits.expressionDepthMax);
  if (tooDeep !== undefined) {
    throw new ExpressionInvalid(`is nested more than ${limits.expressionDepthMax} deep`, tooDeep);
  }
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(text);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const { rawMessage, location } = error as ParseErrorFields;
    throw new ExpressionInvalid(rawMessage ?? 'cannot be read', location?.start.offset ?? 0);
  }
  const { positions } = parsed.sourceInfo ?? {};
  return meteredSyntax(parsed.expr, hasFunction, (id, message) => {
    throw new ExpressionInvalid(message, positions?.[String(id)] ?? 0);
  });
}

/** What the parser's errors have. */
interface ParseErrorFields {
  readonly rawMessage?: string;
  readonly location?: { readonly start: { readonly offset: number } };
}

/** What a message may say: nothing that comes from the event's data. */
const harmlessMessages = [
  /^field not found: [A-Za-z_][A-Za-z0-9_]*$/,
  /^found no matching overload for '[^']+' applied to '\([a-z_, .A-Z]*\)'$/,
  /^(int|uint) (overflow|divide by zero|modulus by zero)/,
  /^type mismatch: expected bool, got [a-z_]+$/,
  /^there is nothing at that (key|index)$/,
  /^only lists and maps/,
  /^has a (number|value|key) that JSON cannot hold$/,
  /^the text is too long/,
];

function harmless(error: unknown): string {
  const message = error instanceof Error ? error.message : '';
  return harmlessMessages.some((pattern) => pattern.test(message)) ? message : 'has no value for this event';
}
