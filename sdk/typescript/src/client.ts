import { create } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromDate } from '@bufbuild/protobuf/wkt';
import { TaskState as ContractState, type Task as ContractTask } from '@dstc/contract/dstc/v1/task_pb';
import {
  CancelTaskRequestSchema,
  GetTaskRequestSchema,
  ListTaskEventsRequestSchema,
  ListTasksRequestSchema,
  SubmitTasksRequestSchema,
  TaskService,
} from '@dstc/contract/dstc/v1/task_service_pb';
import { awaitEnd, outputOf, type WaitOptions } from './await-result.ts';
import { createCaller } from './caller.ts';
import { addressDefault, openChannel, type TlsOptions } from './channel.ts';
import type { Credentials } from './credentials.ts';
import { createNamespaces, type Namespaces } from './namespaces.ts';
import { type Submission, type SubmitOptions, submitRequest } from './submission.ts';
import { type SubmitResult, submitInBatches } from './submit-many.ts';
import { type Task, type TaskEvent, type TaskState, taskEventOf, taskOf } from './task.ts';
import { type TaskHandle, taskHandle } from './task-handle.ts';
import { createTaskTypes, type TaskTypes } from './task-types.ts';
import { watchTasks } from './watch.ts';
import { listWorkers, type WorkerSession } from './worker-sessions.ts';

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

/** Which tasks; what is left out does not matter. */
export interface TaskFilter {
  readonly types?: readonly string[] | undefined;
  readonly states?: readonly Exclude<TaskState, 'UNSPECIFIED'>[] | undefined;
  /** Tasks that have all of these. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly createdAfter?: Date | undefined;
  readonly createdBefore?: Date | undefined;
  /** Tasks read in one call; 50 when left out, 1,000 at most. */
  readonly pageSize?: number | undefined;
}

export interface CancelOptions {
  /** For the history and the worker. */
  readonly reason?: string | undefined;
  /** How long the worker of a running task has to stop. */
  readonly graceMs?: number | undefined;
}

/** What producers and operators do. Calls throw DstcError; those that are safe to repeat are, while a coordinator is away. */
export interface Client {
  readonly namespace: string;
  readonly types: TaskTypes;
  /** The namespace as a whole. */
  readonly namespaces: Namespaces;
  submit(type: string, input?: unknown, options?: SubmitOptions): Promise<TaskHandle>;
  /**
   * Any number of tasks; the result at an index belongs to the submission at that index. Throws when nothing was
   * submitted; when a later batch fails as a whole, its submissions and those after it have that error as their result.
   */
  submitMany(submissions: Iterable<Submission>): Promise<SubmitResult[]>;
  get(id: string): Promise<Task>;
  /** Newest first, without payloads. */
  list(filter?: TaskFilter): AsyncIterable<Task>;
  /** Every event of a task, in order. */
  history(id: string): Promise<TaskEvent[]>;
  /** The output of a task once it has ended; throws TaskFailedError or TaskCancelledError, and `DEADLINE_EXCEEDED` after `timeoutMs`. */
  awaitResult(id: string, options?: WaitOptions): Promise<unknown>;
  /** The task once it has ended, however it ended. */
  awaitEnd(id: string, options?: WaitOptions): Promise<Task>;
  /** Up to 1,000 tasks: each as it is, and again after changes, until all have ended. */
  watch(ids: readonly string[], options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<Task>;
  cancel(id: string, options?: CancelOptions): Promise<Task>;
  /** The worker sessions of the namespace, oldest first. */
  workers(): AsyncIterable<WorkerSession>;
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
    namespaces: createNamespaces(caller, namespace),

    async submit(type, input, submitOptions = {}) {
      const request = submitRequest(namespace, { ...submitOptions, type, input });
      const { task, alreadyExisted } = await caller.unary(method.submitTask, request);
      return taskHandle(client, present(task), alreadyExisted);
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
      return present(task);
    },

    async *list(filter = {}) {
      let pageToken = '';
      do {
        const page = await caller.unary(method.listTasks, listRequest(namespace, filter, pageToken));
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

    async cancel(id, { reason = '', graceMs } = {}) {
      const grace = graceMs === undefined ? {} : { grace: durationFromMs(graceMs) };
      const request = create(CancelTaskRequestSchema, { namespace, id, reason, ...grace });
      const { task } = await caller.unary(method.cancelTask, request);
      return present(task);
    },

    workers: () => listWorkers(caller, namespace),
    close: () => channel.close(),
  };
  return client;
}

function listRequest(namespace: string, filter: TaskFilter, pageToken: string) {
  const { types = [], states = [], labels = {}, createdAfter, createdBefore, pageSize = 0 } = filter;
  return create(ListTasksRequestSchema, {
    namespace,
    types: [...types],
    states: states.map((state) => ContractState[state]),
    labels: { ...labels },
    ...(createdAfter !== undefined && { createdAfter: timestampFromDate(createdAfter) }),
    ...(createdBefore !== undefined && { createdBefore: timestampFromDate(createdBefore) }),
    pageSize,
    pageToken,
  });
}

function present(task: ContractTask | undefined): Task {
  if (task === undefined) throw new Error('the coordinator answered without a task');
  return taskOf(task);
}
