import { create } from '@bufbuild/protobuf';
import { durationMs } from '@bufbuild/protobuf/wkt';
import {
  type Drain,
  type Hello,
  type LeaseRef,
  ResumeSessionSchema,
  type Stop,
  type Welcome,
} from '@dstc/contract/dstc/v1/worker_pb';
import { type WorkRequest, WorkRequestSchema, type WorkResponse } from '@dstc/contract/dstc/v1/worker_service_pb';
import type { Credentials } from '../credentials.ts';
import type { DstcError } from '../errors.ts';
import { pause } from '../pause.ts';
import type { Addresses } from './addresses.ts';
import type { Jobs } from './jobs.ts';
import type { Outbox } from './outbox.ts';
import { receive } from './receive.ts';
import { afterFailure } from './reconnect.ts';
import type { StreamEvents, WorkStream } from './stream.ts';

/** The way to the coordinator; every change goes through `#become`. */
type Link =
  | { readonly phase: 'idle' }
  /** Gets a token. */
  | { readonly phase: 'authorizing' }
  /** Has sent Hello. */
  | { readonly phase: 'opening'; readonly stream: WorkStream }
  /** Has been welcomed. `blocked` while the stream takes nothing more. */
  | { readonly phase: 'open'; readonly stream: WorkStream; readonly sinceMs: number; blocked: boolean }
  /** Between two tries. */
  | { readonly phase: 'waiting'; readonly timer: NodeJS.Timeout }
  | { readonly phase: 'closed' };

/** What outlives a stream. */
interface Identity {
  readonly sessionId: string;
  readonly resumeSecret: string;
  readonly leaseMs: number;
  readonly messageBytesMax: number;
}

export interface Connected {
  readonly address: string;
  readonly sessionId: string;
  readonly resumed: boolean;
}

export interface SessionDeps {
  readonly jobs: Jobs;
  readonly outbox: Outbox;
  readonly credentials: Credentials;
  readonly addresses: Addresses;
  readonly open: (address: string, token: string, events: StreamEvents) => WorkStream;
  /** A Hello without `resume`. */
  readonly hello: () => Hello;
  readonly onConnected: (connected: Connected) => void;
  /** An operator drains this worker. */
  readonly onStop: (stop: Stop) => void;
  readonly onError: (error: unknown) => void;
  /** A report that the coordinator did not take and that is given up. */
  readonly onRefused: (lease: LeaseRef, message: string) => void;
}

const messageBytesMaxDefault = 4 * 1024 * 1024;
const envelopeBytes = 64 * 1024;
/** A stream that lived this long was a good one: the next try is a first try. */
const steadyMs = 5_000;
const heartbeatMsDefault = 5_000;
const closeMsMax = 1_000;
const credentialsRetryMs = 1_000;

/** One worker session: keeps a stream to some coordinator, resumes on another when it is lost. */
export class Session {
  readonly #deps: SessionDeps;
  #link: Link = { phase: 'idle' };
  #identity: Identity | undefined;
  #failures = 0;
  #refusedToken: string | undefined;
  #leaseTimer: NodeJS.Timeout | undefined;
  #flushScheduled = false;
  #onEnded: (() => void) | undefined;

  constructor(deps: SessionDeps) {
    this.#deps = deps;
    deps.outbox.listen(() => this.#scheduleFlush());
  }

  /** What proves the session to other calls; undefined before the first Welcome, and once it is lost. */
  get claim(): Pick<Identity, 'sessionId' | 'resumeSecret'> | undefined {
    return this.#identity;
  }

  start(): void {
    if (this.#link.phase === 'idle') void this.#connect();
  }

  /** Says good-bye and waits a moment for the coordinator to do the same. */
  async close(): Promise<void> {
    const link = this.#link;
    this.#flush();
    this.#become({ phase: 'closed' });
    clearTimeout(this.#leaseTimer);
    if (link.phase === 'waiting') clearTimeout(link.timer);
    if (link.phase === 'open') {
      const ended = new Promise<void>((resolve) => {
        this.#onEnded = resolve;
      });
      link.stream.end();
      await Promise.race([ended, pause(closeMsMax)]);
    }
    if (link.phase === 'open' || link.phase === 'opening') link.stream.cut();
    this.#deps.outbox.clear();
  }

  #become(link: Link): void {
    if (this.#link.phase !== 'closed') this.#link = link;
  }

  async #connect(): Promise<void> {
    const authorizing: Link = { phase: 'authorizing' };
    this.#become(authorizing);
    try {
      const token = await this.#deps.credentials.token({ refused: this.#refusedToken });
      if (this.#link === authorizing) this.#open(token);
    } catch (error) {
      if (this.#link === authorizing) this.#retry(error);
    }
  }

  #open(token: string): void {
    const stream: WorkStream = this.#deps.open(this.#deps.addresses.next(), token, {
      onMessage: (message) => this.#receive(stream, message),
      onRoom: () => {
        if (this.#link.phase === 'open') this.#link.blocked = false;
        this.#flush();
      },
      onEnd: (error) => this.#ended(stream, error),
    });
    this.#deps.outbox.clear();
    this.#become({ phase: 'opening', stream });
    stream.write(request({ case: 'hello', value: this.#hello() }));
  }

  #hello(): Hello {
    const hello = this.#deps.hello();
    if (this.#identity === undefined) return hello;
    const { sessionId, resumeSecret } = this.#identity;
    hello.resume = create(ResumeSessionSchema, { sessionId, resumeSecret, held: this.#deps.jobs.leases() });
    return hello;
  }

  #receive(stream: WorkStream, { message }: WorkResponse): void {
    switch (message.case) {
      case 'welcome':
        this.#welcomed(stream, message.value);
        break;
      case 'ping':
        this.#deps.outbox.pong(message.value.nonce);
        break;
      case 'credentialsNeeded':
        void this.#renewCredentials(stream, message.value.within ? durationMs(message.value.within) : 0);
        break;
      case 'drain':
        void this.#leave(stream, message.value);
        break;
      case 'stop':
        this.#deps.onStop(message.value);
        break;
      case undefined:
        // From a coordinator that is newer than this SDK.
        break;
      default:
        receive({ jobs: this.#deps.jobs, onRefused: this.#deps.onRefused }, message);
    }
  }

  #welcomed(stream: WorkStream, welcome: Welcome): void {
    const { sessionId, resumeSecret, heartbeatInterval, leaseDuration } = welcome;
    const { jobs } = this.#deps;
    clearTimeout(this.#leaseTimer);
    const resumed = this.#identity?.sessionId === sessionId;
    if (!resumed) jobs.loseAll('the worker session was lost');
    this.#identity = {
      sessionId,
      resumeSecret,
      leaseMs: leaseDuration ? durationMs(leaseDuration) : Number.POSITIVE_INFINITY,
      messageBytesMax: Number(welcome.messageBytesMax) || messageBytesMaxDefault,
    };
    this.#refusedToken = undefined;
    jobs.payloadBytesMax = Number(welcome.payloadBytesMax) || Number.POSITIVE_INFINITY;
    stream.expectEvery(2 * (heartbeatInterval ? durationMs(heartbeatInterval) : heartbeatMsDefault));
    this.#become({ phase: 'open', stream, sinceMs: performance.now(), blocked: false });
    jobs.announce();
    this.#scheduleFlush();
    this.#deps.onConnected({ address: stream.address, sessionId, resumed });
  }

  #ended(stream: WorkStream, error: DstcError): void {
    this.#onEnded?.();
    const link = this.#link;
    if ((link.phase !== 'open' && link.phase !== 'opening') || link.stream !== stream) return;
    if (link.phase === 'open') {
      if (performance.now() - link.sinceMs >= steadyMs) this.#failures = 0;
      this.#watchLease(stream.heardMs);
    }
    if (error.code === 'UNAUTHENTICATED') this.#refusedToken = stream.token;
    this.#retry(error);
  }

  #retry(error: unknown): void {
    const { waitMs, sessionLost, drained } = afterFailure({ error, failures: this.#failures });
    this.#failures += 1;
    if (sessionLost) this.#loseSession();
    if (drained !== undefined) this.#deps.onStop(drained);
    this.#become({ phase: 'waiting', timer: setTimeout(() => void this.#connect(), waitMs) });
    this.#deps.onError(error);
  }

  #loseSession(): void {
    this.#identity = undefined;
    clearTimeout(this.#leaseTimer);
    this.#deps.jobs.loseAll('the worker session was lost');
  }

  /** Without a stream for a lease's time, others may have the tasks: the handlers must not go on. */
  #watchLease(heardMs: number): void {
    const leftMs = (this.#identity?.leaseMs ?? 0) - (performance.now() - heardMs);
    if (leftMs === Number.POSITIVE_INFINITY) return;
    clearTimeout(this.#leaseTimer);
    this.#leaseTimer = setTimeout(
      () => this.#deps.jobs.loseUnfinished('the coordinator was out of reach for longer than the lease'),
      Math.max(0, leftMs),
    );
  }

  /**
   * The node shuts down. Where there may be no other, this stream is still the way for results: the worker stays until
   * it holds nothing, or the node ends the stream.
   */
  async #leave(stream: WorkStream, { addresses, within }: Drain): Promise<void> {
    const { jobs } = this.#deps;
    if (!this.#deps.addresses.suggest(addresses, stream.address)) {
      await jobs.until(() => jobs.held === 0, AbortSignal.timeout(within ? durationMs(within) : 0));
    }
    if (this.#link.phase !== 'open' || this.#link.stream !== stream) return;
    this.#flush();
    stream.cut();
    this.#watchLease(stream.heardMs);
    await this.#connect();
  }

  async #renewCredentials(stream: WorkStream, withinMs: number): Promise<void> {
    const deadlineMs = performance.now() + withinMs;
    const isCurrent = (): boolean => this.#link.phase === 'open' && this.#link.stream === stream;
    while (isCurrent()) {
      try {
        const token = await this.#deps.credentials.token({ refused: stream.token });
        if (isCurrent()) this.#deps.outbox.credentials(token);
        return;
      } catch (error) {
        this.#deps.onError(error);
        if (performance.now() + credentialsRetryMs >= deadlineMs) return;
        await pause(credentialsRetryMs);
      }
    }
  }

  /** What is put into the outbox in one turn of the event loop leaves together. */
  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#link.phase !== 'open') return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const link = this.#link;
    if (link.phase !== 'open' || this.#identity === undefined) return;
    while (!link.blocked) {
      const message = this.#deps.outbox.take(this.#identity.messageBytesMax - envelopeBytes);
      if (message === undefined) return;
      link.blocked = !link.stream.write(message);
    }
  }
}

function request(message: WorkRequest['message']): WorkRequest {
  return create(WorkRequestSchema, { message });
}
