import type { TypePattern } from '../../auth/type-pattern.ts';
import type { TypeFilter } from '../../store/task-filter.ts';

/** The task types that patterns cover, as a condition for a query. */
export function typeFilterOf(patterns: readonly TypePattern[]): TypeFilter {
  return {
    all: patterns.includes('*'),
    names: patterns.filter((pattern) => !pattern.endsWith('*')),
    prefixes: patterns.filter((pattern) => pattern.endsWith('.*')).map((pattern) => pattern.slice(0, -1)),
  };
}
