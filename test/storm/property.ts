/** One thing that a storm must not break. */
export interface Property {
  readonly name: string;
  /** Each way in which it did not hold. */
  readonly violations: readonly Violation[];
  /** How often it was put to the test, and how often it must have been. */
  readonly samples: number;
  readonly samplesMin: number;
  /** What was measured. */
  readonly figure?: string;
}

export interface Violation {
  readonly text: string;
  /** Its history tells more. */
  readonly taskId?: string;
}

export function isBroken({ violations }: Property): boolean {
  return violations.length > 0;
}

export function isVoid({ samples, samplesMin }: Property): boolean {
  return samples < samplesMin;
}

/** 1 when something did not hold, 2 when something was not seen often enough to say, else 0. */
export function verdictOf(properties: readonly Property[]): 0 | 1 | 2 {
  if (properties.some(isBroken)) return 1;
  return properties.some(isVoid) ? 2 : 0;
}

const violationsShown = 10;

export function tableOf(properties: readonly Property[]): string {
  const width = Math.max(...properties.map(({ name }) => name.length));
  const head = `${'property'.padEnd(width)}          broken     seen  at least  figure`;
  const lines = properties.map((property) => {
    const { name, violations, samples, samplesMin, figure = '' } = property;
    const word = isBroken(property) ? 'BROKEN' : isVoid(property) ? 'VOID' : 'held';
    const numbers = [pad(violations.length, 7), pad(samples, 8), pad(samplesMin, 9)].join(' ');
    const row = `${name.padEnd(width)}  ${word.padEnd(6)} ${numbers}  ${figure}`.trimEnd();
    return [row, ...violations.slice(0, violationsShown).map(({ text }) => `    ${text}`)];
  });
  return [head, ...lines.flat()].join('\n');
}

function pad(number: number, width: number): string {
  return String(number).padStart(width);
}
