/** Half of what gRPC clients take by default, so that the envelope of a large payload has room. */
const batchBytesMax = 2 * 1024 * 1024;
const batchItemsMax = 500;
/** What an item weighs beside its payload. */
const envelopeBytes = 512;

/** Parts a list so that each part fits into one message; an item that is too large alone stands alone. */
export function inBatches<Item>(
  items: readonly Item[],
  payloadBytesOf: (item: Item) => number,
): { readonly items: readonly Item[]; readonly bytes: number }[] {
  const batches: { items: Item[]; bytes: number }[] = [];
  let open: { items: Item[]; bytes: number } | undefined;
  for (const item of items) {
    const bytes = payloadBytesOf(item) + envelopeBytes;
    if (open === undefined || open.items.length === batchItemsMax || open.bytes + bytes > batchBytesMax) {
      open = { items: [], bytes: 0 };
      batches.push(open);
    }
    open.items.push(item);
    open.bytes += bytes;
  }
  return batches;
}
