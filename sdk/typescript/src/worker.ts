import { hostname } from 'node:os';
import { create } from '@bufbuild/protobuf';
import { durationMs } from '@bufbuild/protobuf/wkt';
import { type Hello, HelloSchema, type Stop } from '@dstc/contract/dstc/v1/worker_pb';
import { addressDefault, type TlsOptions } from './channel.ts';
import type { Credentials } from './credentials.ts';
import { sdkInfo } from './version.ts';
import { Addresses } from './worker/addresses.ts';
import { type DependencyReader, dependencyReader } from './worker/dependency-reader.ts';
import { createGrace } from './worker/grace.ts';
import { Jobs } from './worker/jobs.ts';
import { Outbox } from './worker/outbox.ts';
import { isTransient } from './worker/reconnect.ts';
import type { Handler } from './worker/run-handler.ts';
import { type Connected, Session } from './worker/session.ts';
import { handlerGraceMs, shutDown } from './worker/shutdown.ts';
import { Slots } from './worker/slots.ts';
import { openWorkStream } from './worker/stream.ts';
import type { TaskContext } from './worker/task-context.ts';

export interface WorkerOptions {
  /** `host:port`. Default: the environment's DSTC_ADDRESS, else 127.0.0.1:7420. */
  readonly address?: string | undefined;
  /** Several coordinators of one system, instead of `address`. */
  readonly addresses?: readonly string[] | undefined;
  readonly credentials: Credentials;
  /** Default: `default`. */
  readonly namespace?: string | undefined;
  /** Handlers at the same time. Default 10. */
  readonly concurrency?: number | undefined;
  /** Tasks kept ready beyond those, which saves a round trip for each when tasks are short. Default 0. */
  readonly prefetch?: number | undefined;
  /** For operators, as a label. */
  readonly name?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** The version of your own code, for operators. */
  readonly buildVersion?: string | undefined;
  /** How long handlers may go on after `stop`. Default 20 s. */
  readonly shutdownGraceMs?: number | undefined;
  /** Left out: TLS, except to a loopback address. */
  readonly tls?: boolean | TlsOptions | undefined;
  /** Each time the worker is connected. */
  readonly onConnected?: ((connected: Connected) => void) | undefined;
  /** An operator drains this worker: it finishes what it holds within the time, if there is one, and stops by itself. */
  readonly onDrain?: ((drain: WorkerDrain) => void) | undefined;
  /** Each time a stream or a token is lost; the worker goes on by itself. Default: a process warning, save for mere absence. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

/** What an operator said who drains a worker. */
export interface WorkerDrain {
  readonly reason: string;
  /** After this time others get what it still holds; undefined when it may take its time. */
  readonly withinMs: number | undefined;
}

export interface HandleOptions {
  /** Handlers of this type at the same time. Default: the worker's. */
  readonly concurrency?: number | undefined;
}

export interface StopOptions {
  /** Instead of `shutdownGraceMs`. */
  readonly graceMs?: number | undefined;
}

const slotsMax = 10_000;

interface Active {
  readonly session: Session;
  readonly jobs: Jobs;
  readonly results: DependencyReader;
}

/** Does tasks: connects to a coordinator, is given tasks within its limits, and reports what became of them. */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #handlers = new Map<string, Handler>();
  readonly #perType = new Map<string, number>();
  #active: Active | undefined;
  readonly #grace = createGrace();
  readonly #ended: Promise<void>;
  #settleEnded: (() => void) | undefined;
  #settleStart: (() => void) | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: WorkerOptions) {
    const { concurrency = concurrencyDefault, prefetch = 0 } = options;
    requireWhole('concurrency', concurrency, { min: 1, max: slotsMax });
    requireWhole('prefetch', prefetch, { min: 0, max: slotsMax - concurrency });
    this.#options = options;
    this.#ended = new Promise((resolve) => {
      this.#settleEnded = resolve;
    });
  }

  /** Says who does the tasks of a type. The coordinator has checked the input against the type's schema, if it has one. */
  handle<Input = unknown>(
    type: string,
    handler: (input: Input, context: TaskContext) => unknown,
    options: HandleOptions = {},
  ): this {
    const { concurrency: all = concurrencyDefault } = this.#options;
    const { concurrency = all } = options;
    requireWhole('concurrency', concurrency, { min: 1, max: slotsMax });
    if (this.#active !== undefined) throw new Error('a worker that has started takes no more handlers');
    if (this.#handlers.has(type)) throw new Error(`the worker has a handler for ${type} already`);
    this.#handlers.set(type, (input, context) => handler(input as Input, context));
    this.#perType.set(type, Math.min(concurrency, all));
    return this;
  }

  /** Connects, and goes on trying while that fails (see `onError`). Resolves once connected, or when stopped before. */
  start(): Promise<void> {
    if (this.#active !== undefined) throw new Error('the worker has started already');
    if (this.#handlers.size === 0) throw new Error('the worker has no handler; call handle first');
    return new Promise((resolve) => {
      this.#settleStart = resolve;
      this.#active = this.#assemble();
      this.#active.session.start();
    });
  }

  /** Finishes what it holds within the grace, gives the rest back, and closes. */
  stop({ graceMs = this.#options.shutdownGraceMs ?? graceMsDefault }: StopOptions = {}): Promise<void> {
    if (this.#active === undefined) return Promise.resolve();
    this.#grace.limit(graceMs);
    return this.#shutDown(this.#active);
  }

  /**
   * Starts, works until the signal is aborted (without one: until SIGINT or SIGTERM) or an operator drains the worker, and
   * stops.
   */
  async run({ signal }: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    if (signal?.aborted) return;
    void this.start();
    const stop = (): void => void this.stop();
    const stopListening = signal === undefined ? onProcessSignal(stop) : onAbort(signal, stop);
    await this.#ended;
    stopListening();
  }

  #shutDown({ session, jobs, results }: Active): Promise<void> {
    this.#stopping ??= shutDown(session, jobs, this.#grace.over).finally(() => {
      results.close();
      this.#settleStart?.();
      this.#settleEnded?.();
    });
    return this.#stopping;
  }

  #drain(active: Active, { reason, within }: Stop): void {
    const withinMs = within && durationMs(within);
    this.#grace.allow(withinMs === undefined ? Number.POSITIVE_INFINITY : handlerGraceMs(withinMs));
    this.#options.onDrain?.({ reason, withinMs });
    void this.#shutDown(active);
  }

  #assemble(): Active {
    const { credentials, tls, namespace = '', onConnected } = this.#options;
    const { concurrency = concurrencyDefault, prefetch = 0 } = this.#options;
    const { address = process.env.DSTC_ADDRESS ?? addressDefault, addresses = [address] } = this.#options;
    const onError = this.#options.onError ?? warn;
    const slots = new Slots({ concurrency, prefetch, perType: this.#perType });
    const outbox = new Outbox();
    const [first = addressDefault] = addresses;
    const results = dependencyReader({ credentials, tls, namespace, claim: () => session.claim, address: first });
    const jobs = new Jobs({ handlers: this.#handlers, slots, outbox, readDependencies: results.read });
    const session: Session = new Session({
      jobs,
      outbox,
      credentials,
      addresses: new Addresses(addresses),
      open: (to, token, events) => openWorkStream({ address: to, tls }, token, events),
      hello: () => this.#hello(slots),
      onConnected: (connected) => {
        results.use(connected.address);
        this.#settleStart?.();
        onConnected?.(connected);
      },
      onStop: (stop) => this.#drain({ session, jobs, results }, stop),
      onError,
      onRefused: ({ taskId }, message) => onError(new Error(`the report on task ${taskId} was refused: ${message}`)),
    });
    return { session, jobs, results };
  }

  #hello(slots: Slots): Hello {
    const { namespace = '', name, labels = {}, buildVersion = '' } = this.#options;
    return create(HelloSchema, {
      namespace,
      taskTypes: slots.byType(),
      slots: slots.total,
      labels: { host: hostname(), pid: String(process.pid), ...(name !== undefined && { name }), ...labels },
      sdk: sdkInfo,
      buildVersion,
    });
  }
}

const concurrencyDefault = 10;
const graceMsDefault = 20_000;

function requireWhole(name: string, value: number, { min, max }: { min: number; max: number }): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new RangeError(`${name} must be a whole number from ${min} to ${max}, not ${value}`);
}

function warn(error: unknown): void {
  if (!isTransient(error)) process.emitWarning(error instanceof Error ? error.message : String(error), 'DstcWorker');
}

/** Calls back once; answers with what ends the listening. */
function onAbort(signal: AbortSignal, callBack: () => void): () => void {
  signal.addEventListener('abort', callBack, { once: true });
  return () => signal.removeEventListener('abort', callBack);
}

/** The first signal stops the worker; as the listeners are gone then, a second one ends the process. */
function onProcessSignal(callBack: () => void): () => void {
  const signals = ['SIGINT', 'SIGTERM'] as const;
  const stopListening = (): void => {
    for (const signal of signals) process.off(signal, stop);
  };
  const stop = (): void => {
    stopListening();
    callBack();
  };
  for (const signal of signals) process.on(signal, stop);
  return stopListening;
}
