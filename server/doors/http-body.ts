import type { IncomingMessage } from 'node:http';
import { DstcError } from '../domain/errors.ts';
import { connectErrorOf, deadlineExceeded } from './errors.ts';

/** The body, or DEADLINE_EXCEEDED if it has not ended in time. */
export async function* beforeDeadline(
  body: AsyncIterable<Uint8Array>,
  request: IncomingMessage,
  ms: number,
): AsyncGenerator<Uint8Array> {
  const late = connectErrorOf(deadlineExceeded());
  let expired = false;
  const chunks = body[Symbol.asyncIterator]();
  let expire: (() => void) | undefined;
  const timer = setTimeout(() => {
    expired = true;
    expire?.();
  }, ms);
  try {
    while (!expired) {
      // One promise for each chunk: a lasting one would collect a reaction for each.
      const chunk = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        expire = () => reject(late);
        chunks.next().then(resolve, reject);
      });
      if (chunk.done === true) return;
      yield chunk.value;
    }
    throw late;
  } finally {
    clearTimeout(timer);
    if (!request.complete) request.pause();
  }
}

/** All of a body, or MESSAGE_TOO_LARGE as soon as there is more of it than allowed, or DEADLINE_EXCEEDED. */
export async function readBody(
  request: IncomingMessage,
  bounds: { readonly bytesMax: number; readonly ms: number },
): Promise<Buffer> {
  // What is announced need not be waited for.
  if (Number(request.headers['content-length'] ?? 0) > bounds.bytesMax) throw bodyTooLarge(bounds.bytesMax);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of beforeDeadline(request, request, bounds.ms)) {
    bytes += chunk.byteLength;
    if (bytes > bounds.bytesMax) throw bodyTooLarge(bounds.bytesMax);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function bodyTooLarge(bytesMax: number): DstcError {
  return new DstcError('MESSAGE_TOO_LARGE', `the body is larger than ${bytesMax} bytes; send less at a time`, {
    metadata: { limit_bytes: String(bytesMax) },
  });
}
