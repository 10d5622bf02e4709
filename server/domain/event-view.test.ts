import { expect, it } from 'vitest';
import { viewEvent } from './event-view.ts';
import { limits } from './limits.ts';

const view = (data: string, contentType = 'application/json') =>
  viewEvent({
    id: '1',
    source: '/s',
    type: 't',
    subject: 'about',
    time: undefined,
    dataSchema: undefined,
    extensions: { tenant: 'acme' },
    data: { data: Buffer.from(data, 'latin1'), contentType },
  });

const deep = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;

it('has its attributes, and its data on request', () => {
  const seen = view('{"a":[1]}');
  expect([...seen.variables(false)]).toEqual([
    ['tenant', 'acme'],
    ['specversion', '1.0'],
    ['id', '1'],
    ['source', '/s'],
    ['type', 't'],
    ['subject', 'about'],
    ['datacontenttype', 'application/json'],
  ]);
  expect(seen.variables(true).get('data')).toEqual(new Map([['a', [1]]]));
});

it.each([
  ['JSON of another name', '{}', 'application/x+json', true],
  ['as many levels as may be', deep(limits.eventDataDepthMax), 'application/json', true],
  ['null', 'null', 'application/json', true],
  ['one level more', deep(limits.eventDataDepthMax + 1), 'application/json', false],
  ['a hundred thousand levels', deep(100_000), 'application/json', false],
  ['more than may be', `"${'a'.repeat(limits.eventDataBytesMax)}"`, 'application/json', false],
  ['a number that JSON cannot hold', '[{"a":1e999}]', 'application/json', false],
  ['what is no JSON', '{', 'application/json', false],
  ['what is no UTF-8', '"\xff"', 'application/json', false],
  ['text', '{}', 'text/plain', false],
])('of %s', (_, data, contentType, hasData) => {
  expect(view(data, contentType).variables(true).has('data')).toBe(hasData);
});
