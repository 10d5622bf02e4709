import { Worker } from 'node:worker_threads';
import { LRUCache } from 'lru-cache';
import { DstcError, type FieldViolation } from '../domain/errors.ts';
import { limits } from '../domain/limits.ts';
import type { Payload } from '../domain/payload.ts';
import type { FromSchemaThread, SchemaThreadData, ToSchemaThread } from './schema-messages.ts';

/** A schema, with a number for its text. */
export interface Schema {
  readonly id: number;
  readonly field: string;
  readonly text: string;
}

/** What waits to be checked, and the thread that does it; that is started by the first one. */
export interface SchemaLane {
  /** What is wrong with the schema, or else with the payload. Rejects with `OVERLOADED` when too many wait. */
  readonly check: (schema: Schema, payload: Payload | undefined) => Promise<readonly FieldViolation[]>;
  /** Takes over what waited in another lane. */
  readonly take: (jobs: readonly SchemaJob[]) => void;
  readonly stop: () => Promise<void>;
}

export interface SchemaLaneOptions {
  readonly waitingMax: number;
  /** Where the checks against a schema go of which one was given up; they stay when there is none. */
  readonly next?: { readonly take: (schema: Schema, jobs: readonly SchemaJob[]) => void };
}

/** A check, and who waits for it. */
export interface SchemaJob {
  readonly schema: Schema;
  readonly payload: Payload | undefined;
  readonly done: (violations: readonly FieldViolation[]) => void;
  readonly failed: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly exited: Promise<void>;
  readonly steps: BigInt64Array;
  /** The schemas that it has compiled. */
  readonly schemas: LRUCache<number, true>;
  /** What it was sent and has not answered, in its order. */
  readonly sent: SchemaJob[];
  bytes: number;
  answered: number;
  /** Looks whether it goes on; undefined while it has nothing to do. */
  looking: NodeJS.Timeout | undefined;
}

/** Sent ahead, so that the thread need not wait for the loop of its node between two checks. */
const sentMax = 64;
const sentBytesMax = 8 * 1024 * 1024;
/** Compiled at the same time, some 165 kB each; what was not used for longest is compiled anew. */
const schemasMax = 2_000;
const heapMbMax = 1_024;
const lookIntervalMs = 250;

/**
 * What a schema asks for may take any time: an expression that goes back and forth, an array whose items are all compared.
 * So it happens in a thread of its own, which is ended when one check takes too long. That check is refused, and those
 * behind it are done by the next thread.
 */
export function createSchemaLane({ waitingMax, next }: SchemaLaneOptions): SchemaLane {
  let waiting: SchemaJob[] = [];
  let waitingBytes = 0;
  let thread: Thread | undefined;
  /** Of the threads that were given up. */
  let exited: Promise<unknown> = Promise.resolve();
  let isStopped = false;

  function start(): Thread {
    const steps = new BigInt64Array(new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT)).fill(-1n);
    const workerData: SchemaThreadData = { steps };
    const worker = new Worker(new URL('./schema-thread.ts', import.meta.url), {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: heapMbMax },
    });
    const exit = Promise.withResolvers<void>();
    const forget = (id: number) => worker.postMessage({ kind: 'forget', id } satisfies ToSchemaThread);
    const started: Thread = {
      worker,
      exited: exit.promise,
      steps,
      schemas: new LRUCache({ max: schemasMax, dispose: (_, id) => forget(id) }),
      sent: [],
      bytes: 0,
      answered: 0,
      looking: undefined,
    };
    let failure: Error | undefined;
    worker.on('error', (error: Error) => (failure = error));
    worker.on('message', (violations: FromSchemaThread) => answer(started, violations));
    worker.once('exit', () => {
      if (started === thread) replace(started, runningOf(started), 'could not be checked', failure);
      exit.resolve();
    });
    worker.unref();
    return started;
  }

  function answer(from: Thread, violations: readonly FieldViolation[]): void {
    // One that was given up: another one does its work.
    if (from !== thread) return;
    const job = from.sent.shift();
    if (job === undefined) throw new Error('a check was answered that nobody asked for');
    from.answered += 1;
    from.bytes -= bytesOf(job);
    job.done(violations);
    send();
  }

  function send(): void {
    while (waiting.length > 0) {
      thread ??= start();
      const [job] = waiting;
      const { sent, bytes } = thread;
      if (job === undefined || sent.length === sentMax) return;
      if (sent.length > 0 && bytes + bytesOf(job) > sentBytesMax) return;
      waiting.shift();
      waitingBytes -= bytesOf(job);
      post(thread, job);
    }
  }

  function post(to: Thread, job: SchemaJob): void {
    const { id, field, text } = job.schema;
    const isKnown = to.schemas.get(id) ?? false;
    if (!isKnown) to.schemas.set(id, true);
    // A copy of its own: the payload is stored later, and its bytes may be part of a larger buffer.
    const data = job.payload && new Uint8Array(job.payload.data);
    const payload = job.payload && data && { data, contentType: job.payload.contentType };
    const schema = { id, field, text: isKnown ? undefined : text };
    to.sent.push(job);
    to.bytes += bytesOf(job);
    to.looking ??= watch(to);
    to.worker.postMessage({ kind: 'work', schema, payload } satisfies ToSchemaThread, data ? [data.buffer] : []);
  }

  /** Gives a thread up when it makes no step for too long. Looks are counted: the time of a loop that stood still is not its. */
  function watch(watched: Thread): NodeJS.Timeout {
    let last = -1n;
    let looks = 0;
    const timer = setInterval(() => {
      if (watched !== thread || watched.sent.length === 0) {
        clearInterval(timer);
        watched.looking = undefined;
        return;
      }
      const step = Atomics.load(watched.steps, 0);
      const running = runningOf(watched);
      looks = running !== undefined && step === last ? looks + 1 : 0;
      last = step;
      const [verb, timeMs] =
        step % 2n === 0n
          ? (['compiled', limits.schemaCompileMs] as const)
          : (['checked', limits.schemaCheckMs] as const);
      if (looks * lookIntervalMs >= timeMs) replace(watched, running, `could not be ${verb} in ${timeMs} ms`);
    }, lookIntervalMs);
    return timer.unref();
  }

  /** Ends a thread and refuses what it was at; all else is done again by the next one. */
  function replace(old: Thread, running: SchemaJob | undefined, why: string, failure?: Error): void {
    thread = undefined;
    exited = Promise.all([exited, old.exited]);
    void old.worker.terminate();
    const left = [...old.sent.filter((job) => job !== running), ...waiting];
    const isAlike = ({ schema }: SchemaJob) => schema === running?.schema && next !== undefined;
    waiting = left.filter((job) => !isAlike(job));
    waitingBytes = waiting.reduce((bytes, job) => bytes + bytesOf(job), 0);
    if (running !== undefined) next?.take(running.schema, left.filter(isAlike));
    running?.done([{ field: running.payload === undefined ? running.schema.field : '/', description: why }]);
    if (Atomics.load(old.steps, 0) >= 0n) send();
    // The next one would fare no better.
    else fail(failure ?? new Error('the thread that checks against schemas did not start'));
  }

  function fail(error: Error): void {
    const jobs = [...(thread?.sent ?? []), ...waiting];
    waiting = [];
    waitingBytes = 0;
    for (const job of jobs) job.failed(error);
  }

  function add(job: SchemaJob): void {
    const bytes = waitingBytes + bytesOf(job);
    if (isStopped) job.failed(stopped());
    else if (waiting.length >= waitingMax || bytes > limits.schemaChecksBytesMax) job.failed(overloaded());
    else {
      waiting.push(job);
      waitingBytes = bytes;
      send();
    }
  }

  return {
    check: (schema, payload) =>
      new Promise((done, failed) => {
        add({ schema, payload, done, failed });
      }),
    take(jobs) {
      for (const job of jobs) add(job);
    },
    async stop() {
      isStopped = true;
      fail(stopped());
      const last = thread;
      thread = undefined;
      await last?.worker.terminate();
      await Promise.all([exited, last?.exited]);
    },
  };
}

/** What a thread is at; undefined before it is ready and when it has done all. */
function runningOf({ steps, sent, answered }: Thread): SchemaJob | undefined {
  const step = Atomics.load(steps, 0);
  return step < 0n ? undefined : sent[Number(step / 2n) - answered];
}

function bytesOf({ payload }: SchemaJob): number {
  return payload?.data.byteLength ?? 0;
}

function overloaded(): DstcError {
  return new DstcError('OVERLOADED', 'too many payloads wait to be checked against their schemas; try again later', {
    retryDelayMs: 1_000,
  });
}

function stopped(): DstcError {
  return new DstcError('NODE_DRAINING', 'this node shuts down', { retryDelayMs: 1_000 });
}
