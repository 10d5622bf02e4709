import type { IncomingMessage, ServerResponse } from 'node:http';
import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import { DstcError } from '../domain/errors.ts';
import { abortReason } from './deadline.ts';
import type { DoorLimits } from './door-limits.ts';
import { closeUnlessComplete } from './http-error.ts';

/** What a client still sends after its answer is thrown away for this long, so that it gets to read the answer. */
const lingerMs = 1_000;

/**
 * Sends a response, no faster than it is read. A reader that does not read for the whole write deadline is cut off with its
 * connection, as there is no way to tell it anything; so is one that does not read when `cut` aborts. A handler that does not
 * wait for its reader then says itself why it ends.
 */
export async function sendResponse(
  limits: DoorLimits,
  universal: UniversalServerResponse,
  response: ServerResponse,
  cut: AbortSignal,
): Promise<void> {
  const chunks = universal.body?.[Symbol.asyncIterator]();
  try {
    // The first chunk comes before the headers, as it may still change them.
    let chunk = await chunks?.next();
    closeUnlessComplete(response);
    response.writeHead(universal.status, Object.fromEntries(universal.header ?? []));
    while (chunk !== undefined && chunk.done !== true) {
      if (!response.write(chunk.value)) await drained(limits, response, cut);
      chunk = await chunks?.next();
    }
    response.end();
  } finally {
    // Ends the handler when the client is gone; after a complete body this does nothing.
    await chunks?.return?.();
  }
}

function drained(limits: DoorLimits, response: ServerResponse, cut: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      clearTimeout(timer);
      response.off('drain', onDrain);
      response.off('close', onClose);
      cut.removeEventListener('abort', onCut);
    };
    const onDrain = () => {
      settle();
      resolve();
    };
    const onClose = () => {
      settle();
      reject(new DstcError('CALL_CANCELLED', 'the caller has closed the connection'));
    };
    const giveUp = (error: unknown) => {
      settle();
      response.destroy();
      reject(error);
    };
    const onCut = () => giveUp(abortReason(cut));
    const timer = setTimeout(
      () => giveUp(new DstcError('SLOW_CONSUMER', 'the response was not read')),
      limits.streamWriteDeadlineMs,
    );
    response.once('drain', onDrain);
    response.once('close', onClose);
    cut.addEventListener('abort', onCut);
    if (response.destroyed) onClose();
  });
}

/** Ends the connection of a client that goes on with its request after the answer. */
export function endUnreadRequest(request: IncomingMessage, response: ServerResponse): void {
  response.once('finish', () => {
    if (request.complete) return;
    request.resume();
    const timer = setTimeout(() => request.socket.destroy(), lingerMs);
    request.once('close', () => clearTimeout(timer));
  });
}
