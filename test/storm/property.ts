/** One thing that a storm must not break. */
export interface Property {
  readonly name: string;
  /** Each way in which it did not hold. */
  readonly violations: readonly string[];
  /** How often it was put to the test, and how often it must have been. */
  readonly samples: number;
  readonly samplesMin: number;
}

function isVoid({ samples, samplesMin }: Property): boolean {
  return samples < samplesMin;
}

/** 1 when something did not hold, 2 when something was not seen often enough to say, else 0. */
export function verdictOf(properties: readonly Property[]): 0 | 1 | 2 {
  if (properties.some(({ violations }) => violations.length > 0)) return 1;
  return properties.some(isVoid) ? 2 : 0;
}

export function tableOf(properties: readonly Property[]): string {
  const width = Math.max(...properties.map(({ name }) => name.length));
  const lines = properties.map((property) => {
    const { name, violations, samples, samplesMin } = property;
    const word = violations.length > 0 ? 'BROKEN' : isVoid(property) ? 'VOID' : 'held';
    const numbers = `${String(violations.length).padStart(5)} in ${String(samples).padStart(6)} (at least ${samplesMin})`;
    return [`${name.padEnd(width)}  ${word.padEnd(6)} ${numbers}`, ...violations.slice(0, 10).map((v) => `    ${v}`)];
  });
  return lines.flat().join('\n');
}
