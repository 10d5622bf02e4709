/** The first things, and not one more is asked for. */
export async function* first<T>(limit: number, things: AsyncIterable<T>): AsyncGenerator<T> {
  let left = limit;
  for await (const thing of things) {
    yield thing;
    left -= 1;
    if (left === 0) return;
  }
}
