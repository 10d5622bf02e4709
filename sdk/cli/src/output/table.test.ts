import { expect, test } from 'vitest';
import { formatFields, formatTable } from './table.ts';

const columns = [
  { title: 'id', value: (row: { id: string; note: string }) => row.id },
  { title: 'note', value: (row: { id: string; note: string }) => row.note },
];

test('aligns columns by spaces and keeps every row on one line', () => {
  const rows = [
    { id: 'a', note: 'first\nline' },
    { id: 'longer', note: '' },
  ];
  expect(formatTable(columns, rows)).toBe('ID      NOTE\na       first line\nlonger');
});

test('counts coloured and wide characters by what they take on the screen', () => {
  const rows = [
    { id: '\u001b[32mok\u001b[39m', note: 'x' },
    { id: '日本', note: 'y' },
  ];
  expect(formatTable(columns, rows).split('\n').slice(1)).toEqual(['\u001b[32mok\u001b[39m    x', '日本  y']);
});

test('leaves out fields without a value', () => {
  expect(
    formatFields([
      ['id', '1'],
      ['error', undefined],
      ['state', 'PENDING'],
    ]),
  ).toBe('id     1\nstate  PENDING');
});
