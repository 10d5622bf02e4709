import picocolors from 'picocolors';
import { expect, test } from 'vitest';
import { paint, shown, type Text } from './shown.ts';
import { formatFields, formatTable } from './table.ts';

interface Row {
  readonly id: Text;
  readonly note: string;
}

const columns = [
  { title: 'id', value: (row: Row) => row.id },
  { title: 'note', value: (row: Row) => row.note },
];

test('aligns columns by spaces and keeps every row on one line', () => {
  const rows = [
    { id: 'a', note: 'first\nline' },
    { id: 'longer', note: '' },
  ];
  expect(formatTable(columns, rows)).toEqual({ painted: 'ID      NOTE\na       first line\nlonger' });
});

test('counts coloured and wide characters by what they take on the screen', () => {
  const rows = [
    { id: paint(picocolors.createColors(true).green, 'ok'), note: 'x' },
    { id: '日本', note: 'y' },
  ];
  expect(shown(formatTable(columns, rows)).split('\n').slice(1)).toEqual(['\u001b[32mok\u001b[39m    x', '日本  y']);
});

test('leaves out fields without a value', () => {
  expect(
    formatFields([
      ['id', '1'],
      ['error', undefined],
      ['state', 'PENDING'],
    ]),
  ).toEqual({ painted: 'id     1\nstate  PENDING' });
});

test('keeps the words of others from steering the terminal and from making lines of their own', () => {
  const note = 'a\r\nid  forged\rover\u001b[2J\tb';
  expect(shown(formatTable(columns, [{ id: '1', note }]))).toBe('ID  NOTE\n1   a id  forged\\u000dover\\u001b[2J b');
  const fields = formatFields([
    ['note', note],
    ['id', '1'],
  ]);
  expect(shown(fields)).toBe('note  a\n      id  forged\\u000dover\\u001b[2J\tb\nid    1');
});
