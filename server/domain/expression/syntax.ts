import type { parse } from '@bufbuild/cel';
import { nodeUnits } from './budget.ts';

export type Expr = ReturnType<typeof parse>['expr'];
type Kind<Case extends Expr['exprKind']['case']> = Extract<Expr['exprKind'], { case: Case }>;

/** The functions that stand in for what CEL does without counting; no expression can name them itself. */
export const countingFunctions = {
  step: '@step',
  range: '@range',
  list: '@list',
  append: '@append',
  index: '@index',
} as const;

/** The accumulator of the macros; no expression can name it itself. */
const accumulator = '@result';
const indexOperator = '_[_]';
const typeNames: ReadonlySet<string> = new Set('bool bytes double int list map null_type string type uint'.split(' '));

/**
 * The expression with its loops counted, and whether it looks at `event.data`. `refuse` throws for what is no expression
 * over `event`: a name or a function that nobody knows would only be found out by the first event.
 */
export function meteredSyntax(
  root: Expr,
  hasFunction: (name: string) => boolean,
  refuse: (id: bigint, message: string) => never,
): { readonly expr: Expr; readonly usesData: boolean } {
  let usesData = false;

  function rewrite(expr: Expr, scope: ReadonlySet<string>): Expr {
    const { exprKind } = expr;
    const inScope = (part: Expr | undefined) => rewrite(present(part), scope);
    switch (exprKind.case) {
      case 'constExpr':
        return expr;
      case 'identExpr': {
        const { name } = exprKind.value;
        // All of the event, its data with it.
        if (name === 'event') usesData = true;
        else if (!scope.has(name) && !typeNames.has(name)) {
          refuse(expr.id, `there is no ${name}; there is event, with its attributes and data`);
        }
        return expr;
      }
      case 'selectExpr': {
        const { value } = exprKind;
        const operand = present(value.operand);
        if (isIdent(operand, 'event') && !scope.has('event')) {
          usesData ||= value.field === 'data';
          return expr;
        }
        return { ...expr, exprKind: { case: 'selectExpr', value: { ...value, operand: inScope(operand) } } };
      }
      case 'callExpr':
        return rewriteCall(expr, exprKind.value, scope);
      case 'listExpr': {
        const { value } = exprKind;
        if (value.optionalIndices.length > 0) refuse(expr.id, 'optional elements are not known here');
        return { ...expr, exprKind: { case: 'listExpr', value: { ...value, elements: value.elements.map(inScope) } } };
      }
      case 'structExpr': {
        const { value } = exprKind;
        if (value.messageName !== '') refuse(expr.id, 'messages are not known here');
        const entries = value.entries.map((entry) => {
          if (entry.optionalEntry) refuse(entry.id, 'optional entries are not known here');
          if (entry.keyKind.case !== 'mapKey') return refuse(entry.id, 'messages are not known here');
          return {
            ...entry,
            keyKind: { case: 'mapKey' as const, value: inScope(entry.keyKind.value) },
            value: inScope(entry.value),
          };
        });
        return { ...expr, exprKind: { case: 'structExpr', value: { ...value, entries } } };
      }
      case 'comprehensionExpr':
        return rewriteLoop(expr, exprKind.value, scope);
      case undefined:
        return refuse(expr.id, 'is empty');
    }
  }

  function rewriteCall(expr: Expr, value: Kind<'callExpr'>['value'], scope: ReadonlySet<string>): Expr {
    const { function: name, target } = value;
    const args = value.args.map((arg) => rewrite(arg, scope));
    if (name === indexOperator) return call(expr.id, countingFunctions.index, args);
    const [list, added] = args;
    if (name === '_+_' && isIdent(list, accumulator) && added?.exprKind.case === 'listExpr') {
      // What `map` and `filter` do for each element; copying the list each time would take its length squared.
      return call(expr.id, countingFunctions.append, [present(list), present(added.exprKind.value.elements[0])]);
    }
    if (!hasFunction(name)) refuse(expr.id, `there is no function ${name}`);
    if (name === 'matches') checkPattern(expr.id, value.args.at(-1));
    return {
      ...expr,
      exprKind: {
        case: 'callExpr',
        value: { ...value, args, ...(target !== undefined && { target: rewrite(target, scope) }) },
      },
    };
  }

  function rewriteLoop(expr: Expr, value: Kind<'comprehensionExpr'>['value'], scope: ReadonlySet<string>): Expr {
    const inner = new Set([...scope, value.accuVar, value.iterVar]);
    const step = present(value.loopStep);
    const condition = present(value.loopCondition);
    const units = nodeUnits * (sizeOf(step) + sizeOf(condition) + 2);
    const first = present(value.accuInit);
    const isList = first.exprKind.case === 'listExpr' && first.exprKind.value.elements.length === 0;
    return {
      ...expr,
      exprKind: {
        case: 'comprehensionExpr',
        value: {
          ...value,
          iterRange: call(expr.id, countingFunctions.range, [rewrite(present(value.iterRange), scope)]),
          accuInit: isList ? call(first.id, countingFunctions.list, []) : rewrite(first, scope),
          loopCondition: call(condition.id, '_&&_', [
            call(condition.id, countingFunctions.step, [integer(condition.id, units)]),
            rewrite(condition, inner),
          ]),
          loopStep: rewrite(step, inner),
          result: rewrite(present(value.result), inner),
        },
      },
    };
  }

  /** What a pattern costs must be known, and an event must not bring one. */
  function checkPattern(id: bigint, pattern: Expr | undefined): void {
    const isText = pattern?.exprKind.case === 'constExpr' && pattern.exprKind.value.constantKind.case === 'stringValue';
    if (!isText) refuse(id, 'the pattern of matches must be a text that stands in the expression');
  }

  return { expr: rewrite(root, new Set()), usesData };
}

function call(id: bigint, name: string, args: Expr[]): Expr {
  return {
    $typeName: 'cel.expr.Expr',
    id,
    exprKind: { case: 'callExpr', value: { $typeName: 'cel.expr.Expr.Call', function: name, args } },
  };
}

function integer(id: bigint, value: number): Expr {
  const constantKind = { case: 'int64Value', value: BigInt(value) } as const;
  return {
    $typeName: 'cel.expr.Expr',
    id,
    exprKind: { case: 'constExpr', value: { $typeName: 'cel.expr.Constant', constantKind } },
  };
}

function isIdent(expr: Expr | undefined, name: string): boolean {
  return expr?.exprKind.case === 'identExpr' && expr.exprKind.value.name === name;
}

/** How many nodes an expression has. */
function sizeOf({ exprKind }: Expr): number {
  switch (exprKind.case) {
    case 'selectExpr':
      return 1 + sizeOf(present(exprKind.value.operand));
    case 'callExpr': {
      const { target, args } = exprKind.value;
      return 1 + sum(target === undefined ? args : [target, ...args]);
    }
    case 'listExpr':
      return 1 + sum(exprKind.value.elements);
    case 'structExpr':
      return 1 + sum(exprKind.value.entries.map(({ value }) => present(value))) + exprKind.value.entries.length;
    case 'comprehensionExpr': {
      const { iterRange, accuInit, loopCondition, loopStep, result } = exprKind.value;
      return 1 + sum([iterRange, accuInit, loopCondition, loopStep, result].map(present));
    }
    default:
      return 1;
  }
}

function sum(parts: readonly Expr[]): number {
  return parts.reduce((total, part) => total + sizeOf(part), 0);
}

/** Every part that the grammar has; one that is missing is a fault of the parser. */
function present(part: Expr | undefined): Expr {
  if (part === undefined) throw new Error('the parser left out a part of an expression');
  return part;
}
