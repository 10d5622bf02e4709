import type { LabelCondition } from '@dstc/sdk';

/** A condition on one label. */
export type WrittenCondition = readonly [key: string, condition: LabelCondition];

/** How each kind of condition is written; the first that fits counts. */
const forms: readonly [RegExp, (value: string) => LabelCondition][] = [
  [/^([^=!() ]+)=(.*)$/s, (value) => value],
  [/^([^=!() ]+)!=(.*)$/s, (value) => ({ notIn: [value] })],
  [/^([^=!() ]+) +in +\((.+)\)$/, (values) => ({ in: listOf(values) })],
  [/^([^=!() ]+) +not +in +\((.+)\)$/, (values) => ({ notIn: listOf(values) })],
  [/^!([^=!() ]+)()$/, () => ({ exists: false })],
  [/^([^=!() ]+)()$/, () => ({ exists: true })],
];

/** Reads `team=a`, `team!=a`, `team in (a, b)`, `team not in (a, b)`, `team` or `!team`. */
export function parseLabelCondition(written: string): WrittenCondition {
  for (const [form, conditionOf] of forms) {
    const [, key, value] = form.exec(written) ?? [];
    if (key !== undefined && value !== undefined) return [key, conditionOf(value)];
  }
  throw new Error(`"${written}" is no condition: write key=value, key!=value, "key in (a, b)", key or !key`);
}

function listOf(values: string): string[] {
  return values.split(',').map((value) => value.trim());
}
