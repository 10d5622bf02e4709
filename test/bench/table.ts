import { type Figure, us } from './figures.ts';
import type { Spread } from './statistics.ts';

/** The figures for people; one line each, DSTC over the peer as the ratio. */
export function tableOf(figures: readonly Figure[]): string {
  const header = ['figure', 'system', 'median', '[min..max]', 'unit', 'target', 'dstc / peer'];
  const rows = figures.map((figure, index) => [
    figure.figure === figures[index - 1]?.figure ? '' : figure.figure,
    figure.subject,
    numeral(figure.median),
    range(figure),
    figure.unit,
    figure.subject === us ? (figure.target ?? '') : '',
    figure.ratio === undefined ? '' : `${numeral(figure.ratio.median)} ${range(figure.ratio)}`,
  ]);
  const lines = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function range({ min, max }: Spread): string {
  return `[${numeral(min)}..${numeral(max)}]`;
}

/** Three significant digits are as many as a shared machine is good for. */
function numeral(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString('en-US');
}
