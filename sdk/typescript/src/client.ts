import { create } from '@bufbuild/protobuf';
import {
  GetTaskRequestSchema,
  ListTaskEventsRequestSchema,
  ListTasksRequestSchema,
  SubmitTasksRequestSchema,
  TaskService,
} from '@dstc/contract/dstc/v1/task_service_pb';
import { awaitEnd, outputOf, type WaitOptions } from './await-result.ts';
import { createCaller } from './caller.ts';
import { addressDefault, openChannel, type TlsOptions } from './channel.ts';
import { type Control, createControl } from './control.ts';
import { type ControlMany, createControlMany } from './control-many.ts';
import type { Credentials } from './credentials.ts';
import { type DeadLetterSummary, summarizeDeadLetters } from './dead-letters.ts';
import type { DstcEvent } from './event.ts';
import { createEventRules, type EventRules } from './event-rules.ts';
import { type EventsOptions, streamEvents } from './events.ts';
import { createNamespaces, type Namespaces } from './namespaces.ts';
import { createEventPublishing, type EventPublishing } from './publish-events.ts';
import { type RebuildEventsOptions, rebuildEvents } from './rebuild-events.ts';
import type { Submission, SubmitOptions } from './submission.ts';
import { type SubmitResult, submitInBatches } from './submit-many.ts';
import { submitRequest } from './submit-request.ts';
import { presentTask, type Task, type TaskEvent, taskEventOf, taskOf } from './task.ts';
import { filterOf, type TaskFilter } from './task-filter.ts';
import { type TaskHandle, taskHandle } from './task-handle.ts';
import { createTaskTypes, type TaskTypes } from './task-types.ts';
import { watchTasks } from './watch.ts';
import { createWebhooks, type Webhooks } from './webhooks.ts';
import { type DrainOptions, drainWorker, listWorkers, type WorkerSession } from './worker-sessions.ts';

export type { SubmitResult, WaitOptions };

export interface ClientOptions {
  /** `host:port`. Default: the environment's DSTC_ADDRESS, else 127.0.0.1:7420. */
  readonly address?: string | undefined;
  readonly credentials: Credentials;
  /** Default: `default`. */
  readonly namespace?: string | undefined;
  /** Left out: TLS, except to a loopback address. */
  readonly tls?: boolean | TlsOptions | undefined;
  /** How long a call may take, with its retries while no coordinator can be reached. Default 30 s. */
  readonly timeoutMs?: number | undefined;
}

const timeoutMsDefault = 30_000;

export interface ListOptions {
  /** Tasks read in one call; 50 when left out, 1,000 at most. */
  readonly pageSize?: number | undefined;
}

/** What producers and operators do. Calls throw DstcError; those that are safe to repeat are, while a coordinator is away. */
export interface Client extends Control, ControlMany, EventPublishing {
  readonly namespace: string;
  readonly types: TaskTypes;
  /** Rules by which events from elsewhere become tasks. */
  readonly eventRules: EventRules;
  /** The namespace as a whole. */
  readonly namespaces: Namespaces;
  /** Endpoints that get events by HTTP. */
  readonly webhooks: Webhooks;
  submit(type: string, input?: unknown, options?: SubmitOptions): Promise<TaskHandle>;
  /**
   * Any number of tasks; the result at an index belongs to the submission at that index. Throws when nothing was
   * submitted; when a later batch fails as a whole, its submissions and those after it have that error as their result.
   * A submission that is too large for a message is refused alone.
   */
  submitMany(submissions: Iterable<Submission>): Promise<SubmitResult[]>;
  get(id: string): Promise<Task>;
  /** Newest first, without payloads. */
  list(filter?: TaskFilter, options?: ListOptions): AsyncIterable<Task>;
  /** Every event of a task, in order. */
  history(id: string): Promise<TaskEvent[]>;
  /** The output of a task once it has ended; throws TaskFailedError or TaskCancelledError, and `DEADLINE_EXCEEDED` after `timeoutMs`. */
  awaitResult(id: string, options?: WaitOptions): Promise<unknown>;
  /** The task once it has ended, however it ended. */
  awaitEnd(id: string, options?: WaitOptions): Promise<Task>;
  /** Up to 1,000 tasks: each as it is, and again after changes, until all have ended. */
  watch(ids: readonly string[], options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<Task>;
  /**
   * What happens, as it happens; from a cursor or a time on, also what has happened before. Each event once and in order:
   * a stream that is lost is opened again after the last event. It begins with the first turn of the loop.
   */
  events(options?: EventsOptions): AsyncIterable<DstcEvent>;
  /**
   * Has the events of all namespaces published to NATS once more, for a stream that has lost some. Resolves when it has
   * begun. Takes the permission `operate` on all task types of all namespaces.
   */
  rebuildEvents(options?: RebuildEventsOptions): Promise<void>;
  /** What the newest dead letters failed with. */
  deadLetters(filter?: TaskFilter): Promise<DeadLetterSummary>;
  /** The worker sessions of the namespace, oldest first. */
  workers(): AsyncIterable<WorkerSession>;
  /** Has a worker finish what it holds and stop, by the id of its session. */
  drainWorker(sessionId: string, options?: DrainOptions): Promise<WorkerSession>;
  /** Ends the connection; calls under way fail. */
  close(): void;
}

export function createClient(options: ClientOptions): Client {
  const { credentials, tls, namespace = '', timeoutMs = timeoutMsDefault } = options;
  const address = options.address ?? process.env.DSTC_ADDRESS ?? addressDefault;
  const channel = openChannel({ address, tls });
  const caller = createCaller({ channel, credentials, timeoutMs });
  const { method } = TaskService;

  const client: Client = {
    namespace: namespace === '' ? 'default' : namespace,
    types: createTaskTypes(caller, namespace),
    eventRules: createEventRules(caller, namespace),
    namespaces: createNamespaces(caller, namespace),
    webhooks: createWebhooks(caller, namespace),

    async submit(type, input, submitOptions = {}) {
      const request = submitRequest(namespace, { ...submitOptions, type, input });
      const { task, alreadyExisted } = await caller.unary(method.submitTask, request);
      return taskHandle(client, presentTask(task), alreadyExisted);
    },

    submitMany: (submissions) =>
      submitInBatches(namespace, submissions, {
        submit: async (requests) => {
          const batch = create(SubmitTasksRequestSchema, { namespace, requests });
          return (await caller.unary(method.submitTasks, batch)).results;
        },
        handleOf: (task, alreadyExisted) => taskHandle(client, taskOf(task), alreadyExisted),
      }),

    async get(id) {
      const { task } = await caller.unary(method.getTask, create(GetTaskRequestSchema, { namespace, id }));
      return presentTask(task);
    },

    async *list(filter = {}, { pageSize = 0 } = {}) {
      let pageToken = '';
      do {
        const request = create(ListTasksRequestSchema, { namespace, filter: filterOf(filter), pageSize, pageToken });
        const page = await caller.unary(method.listTasks, request);
        yield* page.tasks.map(taskOf);
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
    },

    async history(taskId) {
      const events: TaskEvent[] = [];
      let pageToken = '';
      do {
        const request = create(ListTaskEventsRequestSchema, { namespace, taskId, pageToken, pageSize: 1_000 });
        const page = await caller.unary(method.listTaskEvents, request);
        events.push(...page.events.map(taskEventOf));
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
      return events;
    },

    awaitResult: async (id, waitOptions) => outputOf(await awaitEnd(caller, namespace, id, waitOptions)),
    awaitEnd: (id, waitOptions) => awaitEnd(caller, namespace, id, waitOptions),
    watch: (ids, watchOptions) => watchTasks(caller, namespace, ids, watchOptions),

    events: (eventsOptions) => streamEvents(caller, namespace, eventsOptions),
    rebuildEvents: (rebuildOptions) => rebuildEvents(caller, rebuildOptions),

    ...createControl(caller, namespace),
    ...createControlMany(caller, namespace),
    ...createEventPublishing(caller, namespace),
    deadLetters: (filter = {}) => summarizeDeadLetters(caller, namespace, filter),
    workers: () => listWorkers(caller, namespace),
    drainWorker: (sessionId, drainOptions = {}) => drainWorker(caller, { namespace, sessionId }, drainOptions),
    close: () => channel.close(),
  };
  return client;
}
