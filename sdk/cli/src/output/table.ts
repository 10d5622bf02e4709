import Table from 'cli-table3';
import { oneLine, type Painted, shown, type Text } from './shown.ts';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => Text;
}

/** Rows under upper-case titles, aligned by spaces alone, so that `awk` and eyes both find the columns. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): Painted {
  const table = new Table({ ...plain, head: columns.map(({ title }) => title.toUpperCase()) });
  for (const row of rows) table.push(columns.map(({ value }) => oneLine(shown(value(row)))));
  return { painted: trimLines(table.toString()) };
}

/** One thing: a name and a value a line. Values that are undefined are left out. */
export function formatFields(fields: readonly (readonly [name: string, value: Text | undefined])[]): Painted {
  const table = new Table(plain);
  for (const [name, value] of fields) if (value !== undefined) table.push([name, shown(value)]);
  return { painted: trimLines(table.toString()) };
}

const plain = {
  chars: {
    top: '',
    'top-mid': '',
    'top-left': '',
    'top-right': '',
    bottom: '',
    'bottom-mid': '',
    'bottom-left': '',
    'bottom-right': '',
    left: '',
    'left-mid': '',
    mid: '',
    'mid-mid': '',
    right: '',
    'right-mid': '',
    middle: '  ',
  },
  // Colours are the caller's, and only on a terminal.
  style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
};

function trimLines(text: string): string {
  return text.replace(/[ \t]+$/gm, '');
}
