import {
  type CelFunc,
  type CelInput,
  type CelList,
  CelScalar,
  type CelValue,
  celEnv,
  celFunc,
  celList,
  celMethod,
  isCelError,
  isCelList,
  isCelMap,
  isCelUint,
} from '@bufbuild/cel';
import { strings } from '@bufbuild/cel/ext';
import { type Budget, nodeUnits, textUnits } from './budget.ts';
import { countingFunctions } from './syntax.ts';
import { spendOnValue } from './value.ts';

/** Those whose cost is that of what they read. The others can make more out of less. */
const textFunctions: ReadonlySet<string> = new Set([
  ...['charAt', 'indexOf', 'lastIndexOf', 'lowerAscii', 'upperAscii', 'split', 'substring', 'trim', 'join'],
]);
/** Those that go through a text character by character, where others copy or search it as a whole. */
const slowTextFunctions: ReadonlySet<string> = new Set([
  ...['lowerAscii', 'upperAscii', 'split', 'trim', 'size', 'join', 'bytes', 'string'],
]);
const slowUnitsPerCharacter = 2;
/** Looking up a time zone. */
const zoneUnits = 200_000;
const patternUnits = 5_000;
const numberCharactersMax = 100;

export interface Language {
  readonly env: ReturnType<typeof celEnv>;
  readonly hasFunction: (name: string) => boolean;
  /** Runs `evaluate`, during which every function spends of the budget. */
  readonly metered: <Result>(budget: Budget, evaluate: () => Result) => Result;
}

/** CEL's own functions and those on texts, each of which pays for what it does before it does it. */
export function createLanguage(): Language {
  let current: Budget | undefined;
  const budget = (): Budget => {
    if (current === undefined) throw new Error('an expression is evaluated without a budget');
    return current;
  };

  const own = [...celEnv().funcs, ...strings.filter(({ name }) => textFunctions.has(name))];
  const funcs = [...own.map((func) => paying(func, budget)), ...counting(budget)];
  const env = celEnv({ funcs });
  return {
    env,
    hasFunction: (name) => operators.has(name) || env.funcs.find(name) !== undefined,
    metered(given, evaluate) {
      const before = current;
      current = given;
      try {
        return evaluate();
      } finally {
        current = before;
      }
    },
  };
}

/** What is evaluated without a function. */
const operators: ReadonlySet<string> = new Set([
  '_&&_',
  '_||_',
  '_?_:_',
  '@not_strictly_false',
  '__not_strictly_false__',
]);

function paying(func: CelFunc, budget: () => Budget): CelFunc {
  const run = (target: CelValue | undefined, args: CelValue[]): CelInput => {
    spendOnCall(func.name, target === undefined ? args : [target, ...args], budget());
    const result = func.call(0, target, args);
    if (result === undefined) throw new Error('a function refused its own arguments');
    if (isCelError(result)) throw result;
    return result;
  };
  return func.target === undefined
    ? celFunc(func.name, func.arguments, func.result, (...args) => run(undefined, args))
    : celMethod(func.name, func.target, func.arguments, func.result, function (...args) {
        return run(this, args);
      });
}

function spendOnCall(name: string, args: readonly CelValue[], budget: Budget): void {
  budget.spend(nodeUnits);
  switch (name) {
    case '_==_':
    case '_!=_':
    case '@in':
    case 'join':
      for (const [index, arg] of args.entries()) {
        // What is looked for in a map is found by its key.
        if (name === '@in' && index === 1 && isCelMap(arg)) {
          if (typeof args[0] !== 'string') budget.spend(nodeUnits * arg.size);
        } else spendOnValue(arg, budget);
      }
      return;
    case 'matches':
      spendOnPattern(args, budget);
      return;
    case 'int':
    case 'uint':
    case 'double':
    case 'timestamp':
    case 'duration':
      for (const arg of args) {
        if (typeof arg === 'string' && arg.length > numberCharactersMax)
          throw new Error('the text is too long for that');
      }
      return;
    default:
      if (name.startsWith('get') && args.length > 1) budget.spend(zoneUnits);
      for (const arg of args) {
        const length = typeof arg === 'string' ? arg.length : arg instanceof Uint8Array ? arg.byteLength : 0;
        budget.spend(slowTextFunctions.has(name) ? slowUnitsPerCharacter * length : textUnits(length));
      }
  }
}

/** The engine takes time by the text times the pattern, in which repeats stand for so many copies. */
function spendOnPattern([text, pattern]: readonly CelValue[], budget: Budget): void {
  if (typeof text !== 'string' || typeof pattern !== 'string') return;
  const repeats = [...pattern.matchAll(/\{(\d*),?(\d*)\}/g)].map(([, low, high]) => Number(high || low || 1));
  const copies = Math.min(
    1_000,
    repeats.reduce((product, count) => product * Math.max(1, count), 1),
  );
  const states = (pattern.length + 1) * copies;
  budget.spend(patternUnits + 100 * states + 5 * text.length * states);
}

/** What loops and look-ups become: see `meteredSyntax`. */
function counting(budget: () => Budget): CelFunc[] {
  const { DYN, INT, BOOL } = CelScalar;
  // The lists that macros build, for as long as they build them.
  const building = new WeakMap<CelList, CelValue[]>();
  return [
    celFunc(countingFunctions.step, [INT], BOOL, (units) => {
      budget().spend(Number(units));
      return true;
    }),
    celFunc(countingFunctions.range, [DYN], DYN, (range) => {
      if (isCelList(range) || isCelMap(range)) budget().spend(nodeUnits * (range.size + 1));
      return range;
    }),
    celFunc(countingFunctions.list, [], DYN, () => {
      const elements: CelValue[] = [];
      const list = celList(elements);
      building.set(list, elements);
      return list;
    }),
    celFunc(countingFunctions.append, [DYN, DYN], DYN, (list, element) => {
      const elements = isCelList(list) ? building.get(list) : undefined;
      if (elements === undefined) throw new Error('a macro appends to what is no list of its own');
      elements.push(element);
      return list;
    }),
    celFunc(countingFunctions.index, [DYN, DYN], DYN, (container, key) => at(container, key, budget())),
  ];
}

function at(container: CelValue, key: CelValue, budget: Budget): CelValue {
  budget.spend(nodeUnits);
  if (isCelMap(container)) {
    if (typeof key !== 'string') budget.spend(nodeUnits * container.size);
    const isKey =
      typeof key === 'string' || typeof key === 'boolean' || typeof key === 'bigint' || typeof key === 'number';
    const value = isKey || isCelUint(key) ? container.get(key) : undefined;
    if (value === undefined) throw new Error('there is nothing at that key');
    return value;
  }
  if (!isCelList(container)) throw new Error('only lists and maps have something at an index');
  const index = isCelUint(key) ? Number(key.value) : typeof key === 'bigint' ? Number(key) : key;
  const value = typeof index === 'number' && Number.isInteger(index) ? container.get(index) : undefined;
  if (value === undefined) throw new Error('there is nothing at that index');
  return value;
}
