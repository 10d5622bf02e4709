import { WorkerService, type WorkRequest, type WorkResponse } from '@dstc/contract/dstc/v1/worker_service_pb';
import { type Endpoint, openChannel } from '../channel.ts';
import { errorOf } from '../error-details.ts';
import { DstcError } from '../errors.ts';
import { openBidiStream } from '../grpc-call.ts';

export interface StreamEvents {
  readonly onMessage: (message: WorkResponse) => void;
  /** After a `write` that answered false: there is room again. */
  readonly onRoom: () => void;
  /** Once, and nothing after it. */
  readonly onEnd: (error: DstcError) => void;
}

/** One worker stream on a connection of its own. */
export interface WorkStream {
  readonly address: string;
  /** The token it was opened with. */
  readonly token: string;
  /** When the coordinator was last heard, on the monotonic clock. */
  readonly heardMs: number;
  /** Answers false when the coordinator or the network is behind: then wait for `onRoom`. */
  write(message: WorkRequest): boolean;
  /** Ends the stream as lost once nothing is heard for this long. */
  expectEvery(silenceMsMax: number): void;
  /** This side has said everything; the coordinator ends the stream. */
  end(): void;
  /** Ends the stream at once, without a further event. */
  cut(): void;
}

export function openWorkStream(endpoint: Endpoint, token: string, events: StreamEvents): WorkStream {
  const channel = openChannel(endpoint);
  const call = openBidiStream(channel, WorkerService.method.work, { token });
  let heardMs = performance.now();
  let silenceMsMax = welcomeMsMax;
  let open = true;
  let failure: unknown;
  let timer = setTimeout(listen, silenceMsMax);

  function finish(): boolean {
    if (!open) return false;
    open = false;
    clearTimeout(timer);
    call.cancel();
    channel.close();
    return true;
  }

  function fail(error: DstcError): void {
    if (finish()) events.onEnd(error);
  }

  function listen(): void {
    const silentMs = performance.now() - heardMs;
    if (silentMs < silenceMsMax) {
      timer = setTimeout(listen, silenceMsMax - silentMs);
      return;
    }
    // After a pause of this very process, what was sent meanwhile still has to be read.
    const heardBeforeMs = heardMs;
    setImmediate(() =>
      setImmediate(() => {
        if (heardMs === heardBeforeMs) fail(silent(endpoint.address, silenceMsMax));
        else if (open) listen();
      }),
    );
  }

  call.on('data', (message: WorkResponse) => {
    heardMs = performance.now();
    if (open) events.onMessage(message);
  });
  call.on('drain', () => {
    if (open) events.onRoom();
  });
  call.on('error', (error: unknown) => {
    failure = error;
  });
  call.on('status', () => {
    const error = errorOf(failure);
    fail(error instanceof DstcError ? error : ended(endpoint.address));
  });

  return {
    address: endpoint.address,
    token,
    get heardMs() {
      return heardMs;
    },
    write: (message) => open && call.write(message),
    expectEvery(ms) {
      silenceMsMax = ms;
      clearTimeout(timer);
      timer = setTimeout(listen, ms);
    },
    end: () => {
      if (open) call.end();
    },
    cut: () => void finish(),
  };
}

/** From opening to Welcome. */
const welcomeMsMax = 10_000;

function silent(address: string, silenceMsMax: number): DstcError {
  return new DstcError({
    reason: 'UNREACHABLE',
    code: 'UNAVAILABLE',
    message: `the coordinator ${address} was silent for ${silenceMsMax} ms`,
  });
}

function ended(address: string): DstcError {
  return new DstcError({
    reason: 'UNREACHABLE',
    code: 'UNAVAILABLE',
    message: `the coordinator ${address} ended the worker stream`,
  });
}
