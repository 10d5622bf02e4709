import { limits } from '../limits.ts';

/**
 * What expressions may cost, in units of some ten nanoseconds. Counted and not timed, so that an expression that is too
 * expensive is so on every node and on every day.
 */
export interface Budget {
  readonly spend: (units: number) => void;
  /** Whether more was asked for than there was: whatever came out since then is worth nothing. */
  readonly isSpent: () => boolean;
}

/** Of one node of an expression, and of one value that is looked at. */
export const nodeUnits = 60;

/** Texts are read and copied many characters at a time. */
export function textUnits(length: number): number {
  return nodeUnits + length / 16;
}

export class BudgetSpent extends Error {
  constructor() {
    super('takes too many steps with this event');
  }
}

export function createBudget(units: number = limits.expressionUnitsMax): Budget {
  let left = units;
  return {
    spend(spent) {
      left -= spent;
      if (left < 0) throw new BudgetSpent();
    },
    isSpent: () => left < 0,
  };
}
