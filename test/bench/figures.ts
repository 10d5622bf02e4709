import { type Spread, spreadOf } from './statistics.ts';

/** One number that a run came to. */
export interface Sample {
  readonly figure: string;
  readonly unit: string;
  readonly subject: string;
  readonly value: number;
  /** What the issue asks for, as it is printed. */
  readonly target?: string;
}

/** A figure over all runs. */
export interface Figure extends Spread {
  readonly figure: string;
  readonly unit: string;
  readonly subject: string;
  readonly target: string | undefined;
  readonly runs: readonly number[];
  /** DSTC's value over this subject's, run by run; undefined for DSTC itself and where nothing is compared. */
  readonly ratio: Spread | undefined;
}

export const us = 'dstc';

/** Puts the samples of all runs together, in the order in which they first came. */
export function figuresOf(samples: readonly Sample[]): Figure[] {
  const groups = Map.groupBy(samples, ({ figure, subject }) => `${figure} ${subject}`);
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const { figure, unit, subject, target } = first;
    const runs = group.map(({ value }) => value);
    const ours = groups.get(`${figure} ${us}`)?.map(({ value }) => value) ?? [];
    const ratios = ours.map((value, run) => value / (runs[run] ?? Number.NaN));
    const ratio = subject === us || ours.length === 0 ? undefined : spreadOf(ratios);
    return [{ figure, unit, subject, target, runs, ...spreadOf(runs), ratio }];
  });
}

/** Throws when a figure did not come out: a benchmark that measured nothing must not look like one that did. */
export function requireMeasured(figures: readonly Figure[]): void {
  if (figures.length === 0) throw new Error('nothing was measured');
  for (const { figure, subject, runs } of figures) {
    if (runs.some((value) => !Number.isFinite(value) || value < 0)) {
      throw new Error(`${figure} of ${subject} was not measured: ${runs.join(', ')}`);
    }
  }
}
