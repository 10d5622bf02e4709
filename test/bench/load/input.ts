/** An order as a shop would send it: 256 bytes of JSON. */
export function input(): Record<string, unknown> {
  return { order: 'A-2024-000017', customer: 'c-81234', lines: [{ sku: 'BX-77', quantity: 3 }], note: 'x'.repeat(161) };
}
