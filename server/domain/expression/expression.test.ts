import { describe, expect, it } from 'vitest';
import type { JsonValue } from '../json-value.ts';
import { createBudget } from './budget.ts';
import { createExpressions } from './expression.ts';
import { celOfJson, type ExpressionInput } from './value.ts';

const compile = createExpressions();
const attributes = { id: '7', type: 'com.example.order.placed', source: '/shop' };

function evaluate(text: string, data?: JsonValue, units?: number): JsonValue {
  const event = new Map<string, ExpressionInput>(Object.entries(attributes));
  if (data !== undefined) event.set('data', celOfJson(data));
  return compile(text).evaluate(event, createBudget(units));
}

describe('an expression', () => {
  const data = {
    n: 5,
    list: [1, 2, 3],
    nested: { 'a b': [{ c: 'x' }] },
    none: null,
    constructor: 'c',
    __proto__: undefined,
    items: [{ sku: 'a', price: 3 }],
  } as unknown as JsonValue;

  it.each([
    ['event.type', 'com.example.order.placed'],
    ['event.type.startsWith("com.example.") && event.source != "/warehouse"', true],
    ['event.data.n == 5', true],
    ['event.data.n + 1.0', 6],
    ['int(event.data.n) + 1', 6],
    ['event.data.list.map(x, x * 2.0)', [2, 4, 6]],
    ['event.data.list.filter(x, x > 1.0)', [2, 3]],
    ['event.data.list.map(x, x > 1.0, x + 1.0)', [3, 4]],
    [
      'event.data.list.map(x, event.data.list.map(y, x * y))',
      [
        [1, 2, 3],
        [2, 4, 6],
        [3, 6, 9],
      ],
    ],
    ['event.data.list.exists(x, x == 3.0) && event.data.list.all(x, x < 4.0)', true],
    ['event.data.list.exists_one(x, x == 3.0)', true],
    ['event.data.list[0] + event.data["list"][2]', 4],
    ['event.data.nested["a b"][0].c', 'x'],
    ['event["da" + "ta"].n', 5],
    ['has(event.data.n) && !has(event.data.m) && !has(event.subject)', true],
    ['event.data.none', null],
    ['event.data.constructor', 'c'],
    ['"n" in event.data && 2.0 in event.data.list', true],
    ['event.data.items.map(i, {"sku": i.sku, "cost": i.price * 2.0})', [{ sku: 'a', cost: 6 }]],
    ['{"__proto__": 1.5}', JSON.parse('{"__proto__":1.5}')],
    ['event.data', JSON.parse(JSON.stringify(data))],
    ['"a-B".upperAscii().split("-")', ['A', 'B']],
    ['event.id.matches("^[0-9]+$") ? "number" : "other"', 'number'],
    ['b"abc"', 'YWJj'],
    ['9007199254740991', 9_007_199_254_740_991],
    ['[1u, 2, 2.5, true, null]', [1, 2, 2.5, true, null]],
    ['timestamp("2026-01-31T12:00:00Z") < timestamp("2026-02-01T00:00:00+02:00")', true],
    ['string(timestamp("2026-01-31T12:00:00Z") + duration("90s"))', '2026-01-31T12:01:30Z'],
    ['timestamp("2026-01-31T12:00:00Z").getHours("Europe/Berlin")', 13],
    ['size("aé😀") == 3', true],
  ])('%s', (text, expected) => {
    const value = evaluate(text, data);
    expect(value).toEqual(expected);
    expect(JSON.stringify(value)).toBe(JSON.stringify(expected));
  });

  it.each([
    ['event.data.missing', 'field not found: missing'],
    ['event.subject', 'field not found: subject'],
    ['event.data["secret " + event.id]', 'there is nothing at that key'],
    ['event.data.list[3]', 'there is nothing at that index'],
    ['event.data.list[0.5]', 'there is nothing at that index'],
    ['event.data.n[0]', 'only lists and maps have something at an index'],
    ['event.data.n + 1', "found no matching overload for '_+_' applied to '(double, int)'"],
    ['bool(event.type)', 'has no value for this event'],
    ['event.data.n / 0.0', 'has a number that JSON cannot hold'],
    ['1 / 0', 'int divide by zero'],
    ['9007199254740993', 'has a number that JSON cannot hold'],
    ['{1: 2}', 'has a key that JSON cannot hold'],
    ['duration("1s")', 'has a value that JSON cannot hold'],
    ['type(1)', 'has a value that JSON cannot hold'],
    ['int("9".split("")[0] + event.data.long)', 'the text is too long for that'],
  ])('has no value, and says why without what the event carries: %s', (text, message) => {
    const withLong = { ...(data as object), long: '9'.repeat(1_000) } as JsonValue;
    expect(() => evaluate(text, withLong)).toThrow(message);
  });

  it('has no value without data that it looks at', () => {
    expect(() => evaluate('event.data.n')).toThrow('field not found: data');
    expect(evaluate('has(event.data) ? 1 : 2')).toBe(2);
  });
});

it.each([
  ['event.type', false],
  ['has(event.subject) || event.ext == "a"', false],
  ['event.data', true],
  ['event["type"]', true],
  ['[event]', true],
  ['[1].map(x, event.data)', true],
])('knows whether it needs the data: %s', (text, usesData) => {
  expect(compile(text).usesData).toBe(usesData);
});

describe('a text that is no expression is refused with its place', () => {
  it.each([
    ['', 0, /end of input/],
    ['event.', 5, /found \./],
    ['event.type = "a"', 11, /found =/],
    ['"open', 0, /found "/],
    ['evnt.type', 0, 'there is no evnt'],
    ['event.type == tpye', 14, 'there is no tpye'],
    ['[1].map(x, y)', 11, 'there is no y'],
    ['event.type.startWith("a")', undefined, 'there is no function startWith'],
    ['event.type.replace("a", "b")', undefined, 'there is no function replace'],
    ['@step(1)', 0, /found @/],
    ['event.type.matches(event.data.pattern)', undefined, 'must be a text that stands in the expression'],
    ['google.protobuf.Timestamp{seconds: 1}', undefined, 'messages are not known here'],
    ['google.protobuf.Timestamp', 0, 'there is no google'],
    [`${'('.repeat(30)}1${')'.repeat(30)}`, 20, 'nested more than 20 deep'],
    [`"${'a'.repeat(1_000)}"`, 1_000, 'longer than 1000 characters'],
  ])('%.60s', (text, at, message) => {
    expect(() => compile(text)).toThrow(message);
    if (at !== undefined) expect(() => compile(text)).toThrow(expect.objectContaining({ at }));
  });
});

describe('an expression that is too expensive', () => {
  const list = Array.from({ length: 2_000 }, (_, at) => at);
  const many = { list, text: 'a'.repeat(1_000_000), map: Object.fromEntries(list.map((at) => [`k${at}`, at])) };

  it.each([
    'event.data.list.all(x, event.data.list.all(y, x >= 0.0))',
    'event.data.list.map(x, x in event.data.list)',
    'event.data.list.filter(x, !(1 in event.data.map))',
    'event.data.list.exists(x, event.data.map[1] == 2)',
    'event.data.list.all(x, event.data.list == event.data.list)',
    'event.data.list.all(x, event.data.list.all(y, false) || true)',
    'event.data.list.map(x, event.data.text + "b").size() > 0',
    'event.data.list.map(x, event.data)',
    'event.data.list.all(x, event.data.text.contains("b") || true)',
    'event.data.list.all(x, event.data.text.lowerAscii() != "")',
    'event.data.list.map(x, event.data.text.split("")).size()',
    'event.data.text.matches("a{500}$")',
    'event.data.text.matches("(((a{10}){10}){10})$")',
    'event.data.list.all(x, "a".matches("((a{30}){30})") || true)',
    'event.data.list.all(x, timestamp("2026-01-31T12:00:00Z").getHours("Europe/Berlin") == 13)',
    'event.data.list.all(x, event.data.list.exists(y, event.data.list.exists(z, false))) || true',
    'true || event.data.list.all(x, event.data.list.all(y, true))',
  ])('is given up: %s', (text) => {
    if (text.startsWith('true ||')) expect(evaluate(text, many)).toBe(true);
    else expect(() => evaluate(text, many)).toThrow('takes too many steps with this event');
  });

  it('does as much as a rule may need', () => {
    expect(evaluate('event.data.list.filter(x, x > 1990.0).map(x, x + 1.0).size()', many)).toBe(9);
    expect(evaluate('event.data.list.map(x, x)', many)).toEqual(list);
  });
});
