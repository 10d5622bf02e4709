// biome-ignore-all lint/suspicious/noTemplateCurlyInString: templates are what is tested.
import { describe, expect, it } from 'vitest';
import { viewEvent } from './event-view.ts';
import { createBudget } from './expression/budget.ts';
import { createExpressions } from './expression/expression.ts';
import type { JsonValue } from './json-value.ts';
import { compileTemplate } from './template.ts';

const view = viewEvent({
  id: '7',
  source: '/shop',
  type: 'order.placed',
  subject: undefined,
  time: undefined,
  dataSchema: undefined,
  extensions: { tenant: 'acme' },
  data: { data: Buffer.from('{"n":5,"list":[1,"b"],"name":"Ada","none":null}'), contentType: 'application/json' },
});
const fill = (json: JsonValue) => compileTemplate(createExpressions(), 'rule.input', json)(view, createBudget());

describe('a template', () => {
  it.each<[JsonValue, JsonValue]>([
    ['${event.data.n}', 5],
    ['${event.data.list}', [1, 'b']],
    ['${event.data.none}', null],
    ['${ event.data.n > 4.0 }', true],
    [' ${event.data.n}', ' 5'],
    ['${event.data.name}: ${event.data.n} of ${event.data.list}, ${event.data.none}', 'Ada: 5 of [1,"b"], null'],
    ['$${event.data.n} $ {} }', '${event.data.n} $ {} }'],
    ['${"}"}${\'{"a}\'}${{"a": {"b": "}"}}.a.b}', '}{"a}}'],
    ['${r"\\"}${"\\"}"}${"""a"}"b"""}', '\\"}a"}"b'],
    ['${event.data.n // } a comment\n}', 5],
    ['${{"a": 1}}', { a: 1 }],
    [
      { a: ['${event.tenant}', 1, null, { b: 'c' }], '${x}': true },
      { a: ['acme', 1, null, { b: 'c' }], '${x}': true },
    ],
    ['', ''],
    [null, null],
  ])('%j becomes %j', (template, expected) => expect(fill(template)).toEqual(expected));

  it('keeps the names of objects, whatever they are', () => {
    const template = JSON.parse('{"__proto__":"${event.id}","constructor":1}');
    expect(JSON.stringify(fill(template))).toBe('{"__proto__":"7","constructor":1}');
  });

  it.each<[JsonValue, string]>([
    [{ a: { 'b c': ['${evnt}'] } }, 'rule.input.a["b c"][0]: at character 3: there is no evnt'],
    ['ab ${event.id', 'rule.input: at character 4: ${ is not closed by }'],
    ['ab ${event.id +}', 'rule.input: at character 15: found +'],
    ['${}', 'rule.input: at character 3: found end of input'],
  ])('%j is refused with its place', (template, message) => expect(() => fill(template)).toThrow(message));

  it('says which of its expressions has no value', () => {
    expect(() => fill({ a: ['${event.data.missing}'] })).toThrow(
      expect.objectContaining({ field: 'rule.input.a[0]', message: 'field not found: missing' }),
    );
  });
});
