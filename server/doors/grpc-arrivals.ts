import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { type Metadata, type Server, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import type { Caller, Callers } from '../auth/caller.ts';
import { authenticate } from './bearer.ts';
import { abortReason, parseGrpcTimeout, streamDeadlineMs, unaryDeadlineMs } from './deadline.ts';
import type { DoorLimits } from './door-limits.ts';
import { deadlineExceeded, type ErrorDeps, toConnectError } from './errors.ts';
import { http2ServersOf } from './grpc-servers.ts';
import { completeStatuses, statusOf } from './grpc-status.ts';

/** One call between its headers and its end. */
export interface Arrival {
  readonly rpc: string;
  readonly stream: ServerHttp2Stream;
  /** Set once the token has been verified, which is before a byte of the body is read. */
  caller: Caller | undefined;
  /** Aborts at the deadline, when the caller goes away, and when it does not read. */
  readonly controller: AbortController;
  /** By `performance.now()`. */
  readonly deadlineAtMs: number | undefined;
  /** From `entered` on the handler answers for everything; after `answered` its signal has nothing to tell. */
  stage: 'arriving' | 'entered' | 'answered';
}

export interface ArrivalDeps extends ErrorDeps {
  readonly callers: Callers;
  readonly limits: DoorLimits;
}

export interface Arrivals {
  readonly interceptor: ServerInterceptor;
  /** To be called as soon as the server listens. */
  attach(server: Server): void;
  /** The arrival that grpc-js's call belongs to. */
  of(metadata: Metadata): Arrival;
}

interface Entering {
  readonly stream: ServerHttp2Stream;
  readonly authorization: readonly string[];
  readonly timeout: string | undefined;
}

/**
 * Stands before grpc-js: authenticates each call from its headers and starts its deadline before the body is read. Calls to
 * services that are not in `guarded` (health, reflection) pass.
 */
export function createArrivals(deps: ArrivalDeps, guarded: ReadonlySet<string>): Arrivals {
  const arrivals = new WeakMap<Metadata, Arrival>();
  // grpc-js calls its interceptors while it handles the stream event, so this is the stream of the call they are given.
  let entering: Entering | undefined;

  function attach(server: Server): void {
    for (const http2Server of http2ServersOf(server)) {
      const handlers = http2Server.listeners('stream');
      http2Server.removeAllListeners('stream');
      http2Server.on(
        'stream',
        (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, raw: readonly string[]) => {
          completeStatuses(deps, stream, rpcOf(headers[':path']));
          entering = {
            stream,
            authorization: valuesOf(raw, 'authorization'),
            timeout: headers['grpc-timeout']?.toString(),
          };
          // grpc-js computes timeouts in 32 bits, so that a long one may come out short or past.
          delete headers['grpc-timeout'];
          try {
            for (const handler of handlers) handler.call(http2Server, stream, headers, flags, raw);
          } finally {
            entering = undefined;
          }
        },
      );
    }
  }

  const interceptor: ServerInterceptor = (method, call) => {
    const rpc = rpcOf(method.path);
    if (!guarded.has(rpc.slice(0, rpc.indexOf('/')))) return new ServerInterceptingCall(call);
    if (entering === undefined) throw new Error('grpc-js has called its interceptors later than it used to');
    const { stream, authorization, timeout } = entering;
    const refuse = (error: unknown) => call.sendStatus(statusOf(toConnectError(deps, error, { rpc })));

    return new ServerInterceptingCall(call, {
      start(next) {
        const arrival = begin(rpc, stream, timeout, method.requestStream || method.responseStream, refuse);
        next({
          onReceiveMetadata(metadata, proceed) {
            if (arrival === undefined) return;
            authenticate(deps.callers, authorization, { wantsJson: false }).then((caller) => {
              if (arrival.controller.signal.aborted) return;
              arrival.caller = caller;
              arrivals.set(metadata, arrival);
              proceed(metadata);
            }, refuse);
          },
          // grpc-js also says so after each answer, and aborting is slow.
          onCancel() {
            if (arrival !== undefined && arrival.stage !== 'answered') arrival.controller.abort();
          },
        });
      },
    });
  };

  function begin(
    rpc: string,
    stream: ServerHttp2Stream,
    timeout: string | undefined,
    streaming: boolean,
    refuse: (error: unknown) => void,
  ): Arrival | undefined {
    let deadlineMs: number | undefined;
    try {
      const clientMs = parseGrpcTimeout(timeout);
      deadlineMs = streaming ? streamDeadlineMs(clientMs) : unaryDeadlineMs(deps.limits, clientMs);
      if (deadlineMs === 0) throw deadlineExceeded();
    } catch (error) {
      refuse(error);
      return undefined;
    }
    const controller = new AbortController();
    const arrival: Arrival = {
      rpc,
      stream,
      caller: undefined,
      controller,
      deadlineAtMs: deadlineMs === undefined ? undefined : performance.now() + deadlineMs,
      stage: 'arriving',
    };
    if (deadlineMs !== undefined) {
      const timer = setTimeout(() => {
        controller.abort(deadlineExceeded());
        if (arrival.stage === 'arriving') refuse(abortReason(controller.signal));
      }, deadlineMs);
      stream.once('close', () => clearTimeout(timer));
    }
    return arrival;
  }

  return {
    attach,
    interceptor,
    of(metadata) {
      const arrival = arrivals.get(metadata);
      if (arrival === undefined) throw new Error('grpc-js has handed over metadata that never arrived');
      return arrival;
    },
  };
}

function rpcOf(path: string | undefined): string {
  return (path ?? '').replace(/^\//, '');
}

/** Node keeps only the first of several `authorization` headers in its parsed headers. */
function valuesOf(raw: readonly string[], name: string): readonly string[] {
  const values: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    if (raw[at]?.toLowerCase() === name) values.push(raw[at + 1] ?? '');
  }
  return values;
}
