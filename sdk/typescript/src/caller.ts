import type { DescMessage, DescMethodServerStreaming, DescMethodUnary, MessageShape } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';
import { fullJitterMs } from './backoff.ts';
import type { Credentials } from './credentials.ts';
import { DstcError } from './errors.ts';
import { callServerStream, callUnary } from './grpc-call.ts';
import { pause } from './pause.ts';

export interface CallOptions {
  /** Stops the call; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** For all tries together. Default: the client's. */
  readonly timeoutMs?: number | undefined;
}

/** Calls with a token, and again with a fresh one or after a wait where that can help. */
export interface Caller {
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    options?: CallOptions & { readonly retriable?: boolean },
  ): Promise<MessageShape<O>>;
  /** Asks for the request anew when the token expires on the way, as answers may have come meanwhile. */
  serverStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageShape<I> | (() => MessageShape<I>),
    options?: { readonly signal?: AbortSignal | undefined },
  ): AsyncGenerator<MessageShape<O>, void, undefined>;
}

export interface CallerDeps {
  readonly channel: Client;
  readonly credentials: Credentials;
  /** For all tries of a call together, unless it brings its own. */
  readonly timeoutMs: number;
}

export function createCaller({ channel, credentials, timeoutMs: timeoutMsDefault }: CallerDeps): Caller {
  return {
    async unary(method, request, { signal, timeoutMs = timeoutMsDefault, retriable = true } = {}) {
      const deadline = Date.now() + timeoutMs;
      let refused: string | undefined;
      for (let failures = 0; ; failures += 1) {
        const token = await credentials.token({ refused });
        try {
          return await callUnary(channel, method, request, { token, signal, deadline });
        } catch (error) {
          if (!(error instanceof DstcError)) throw error;
          if (error.code === 'UNAUTHENTICATED' && refused === undefined) {
            refused = token;
            continue;
          }
          const waitMs = retriable ? retryWaitMs(error, failures) : undefined;
          if (waitMs === undefined || Date.now() + waitMs >= deadline) throw error;
          await pause(waitMs, signal);
        }
      }
    },

    async *serverStream(method, request, { signal } = {}) {
      const requestOf = typeof request === 'function' ? request : () => request;
      let refused: string | undefined;
      for (;;) {
        const token = await credentials.token({ refused });
        let isServed = false;
        try {
          for await (const message of callServerStream(channel, method, requestOf(), { token, signal })) {
            isServed = true;
            yield message;
          }
          return;
        } catch (error) {
          // The end of a token that was good is not a second refusal.
          const isFirst = refused === undefined || isServed;
          if (!(error instanceof DstcError) || error.code !== 'UNAUTHENTICATED' || !isFirst) throw error;
          refused = token;
        }
      }
    },
  };
}

/** How long to wait before the same call may succeed; undefined when another try cannot help. */
export function retryWaitMs(error: DstcError, failures: number): number | undefined {
  if (error.code !== 'UNAVAILABLE' && error.reason !== 'OVERLOADED') return undefined;
  // The coordinator's word is a minimum; the jitter on top keeps callers apart.
  return (error.retryDelayMs ?? 0) + fullJitterMs({ failures, baseMs: 100, capMs: 5_000 });
}
