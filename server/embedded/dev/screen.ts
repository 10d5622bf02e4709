import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/** Where the start tells its story: one line after the other, never moving the cursor, coloured only for a person. */
export interface Screen {
  line(text?: string): void;
  /** Something that went wrong. */
  problem(text: string): void;
  /** Coloured where the terminal has colours and NO_COLOR is not set. */
  style(style: Style, text: string): string;
}

export function terminalScreen({ stdout, stderr }: Pick<NodeJS.Process, 'stdout' | 'stderr'>): Screen {
  // A terminal that was closed, or a reader that has seen enough, is no reason to leave parts running.
  for (const stream of [stdout, stderr]) stream.on('error', () => undefined);
  return {
    line: (text = '') => void stdout.write(`${text}\n`),
    problem: (text) => void stderr.write(`${styleText('red', text, { stream: stderr })}\n`),
    style: (style, text) => styleText(style, text, { stream: stdout }),
  };
}

/** Rows in columns: the first line is the title, numbers go to the right. */
export function table(rows: readonly (readonly (string | number)[])[]): readonly string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, String(cell).length);
    });
  }
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const isNumber = rows.slice(1).every((other) => typeof other[column] === 'number');
        const width = widths[column] ?? 0;
        return isNumber ? String(cell).padStart(width) : String(cell).padEnd(width);
      })
      .join('   ')
      .trimEnd(),
  );
}

export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}
