/** Keeps the last lines of a text that arrives in pieces, within a bound, for an error message. */
export interface LastLines {
  /** Takes a piece and returns the lines that it completed. */
  readonly push: (piece: string) => readonly string[];
  /** The last lines, the unfinished one included. */
  readonly text: () => string;
}

/** Lines longer than this are cut: a program that never writes a newline must not fill the memory. */
const lineCharsMax = 1_000;

export function keepLastLines(linesMax: number): LastLines {
  const kept: string[] = [];
  let unfinished = '';
  return {
    push(piece) {
      const parts = (unfinished + piece).split(/\r?\n/);
      unfinished = (parts.pop() ?? '').slice(0, lineCharsMax);
      const lines = parts.map((line) => line.slice(0, lineCharsMax).trimEnd()).filter((line) => line !== '');
      kept.push(...lines);
      kept.splice(0, kept.length - linesMax);
      return lines;
    },
    text: () =>
      [...kept, unfinished.trimEnd()]
        .filter((line) => line !== '')
        .slice(-linesMax)
        .join('\n'),
  };
}
