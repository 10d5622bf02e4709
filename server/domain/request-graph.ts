/**
 * The positions of nodes in an order in which each one comes after all that it refers to; those that are part of a cycle,
 * or come after one, are missing. References to nodes that are not there count for nothing.
 */
export function inOrder(references: readonly (readonly number[])[]): number[] {
  const referrers = references.map((): number[] => []);
  const left = references.map((targets, index) => {
    const known = targets.filter((target) => referrers[target] !== undefined);
    for (const target of known) referrers[target]?.push(index);
    return known.length;
  });
  const order = [...references.keys()].filter((index) => left[index] === 0);
  // It grows while it is gone through.
  for (const index of order) {
    for (const referrer of referrers[index] ?? []) {
      const remaining = (left[referrer] ?? 0) - 1;
      left[referrer] = remaining;
      if (remaining === 0) order.push(referrer);
    }
  }
  return order;
}
