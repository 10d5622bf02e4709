import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { type Client, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { EventService } from '@dstc/contract/dstc/v1/event_service_pb';
import { NamespaceService } from '@dstc/contract/dstc/v1/namespace_service_pb';
import { type FailureKind, TaskEventKind, TaskState } from '@dstc/contract/dstc/v1/task_pb';
import { type SubmitTaskRequestSchema, TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import type { TaskType, TaskTypeSchema } from '@dstc/contract/dstc/v1/task_type_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import type { HelloSchema, LeaseRef } from '@dstc/contract/dstc/v1/worker_pb';
import { WorkerService, type WorkRequestSchema } from '@dstc/contract/dstc/v1/worker_service_pb';
import postgres from 'postgres';
import type { taskEvent } from '../../server/store/event-schema.ts';
import type { task } from '../../server/store/schema.ts';
import { startTestCoordinator, type TestCoordinator } from '../setup/coordinator.ts';
import { openRawWorker, type RawWorker, type RawWorkerOptions } from '../setup/raw-worker.ts';

/** A coordinator with what tests of the engine need around it. */
export interface EngineRig {
  readonly coordinator: TestCoordinator;
  /** The database itself, for what no caller may see. */
  readonly sql: postgres.Sql;
  /** As the operator, who may do everything. */
  readonly tasks: Client<typeof TaskService>;
  readonly types: Client<typeof TaskTypeService>;
  readonly workers: Client<typeof WorkerService>;
  readonly namespaces: Client<typeof NamespaceService>;
  readonly events: Client<typeof EventService>;
  /** Applies a type and answers with its name, so that each test has types of its own. */
  readonly type: (settings?: TypeSettings) => Promise<string>;
  readonly submit: (type: string, request?: MessageInitShape<typeof SubmitTaskRequestSchema>) => Promise<string>;
  /** Opens a stream and waits for its Welcome. */
  readonly worker: (
    hello: MessageInitShape<typeof HelloSchema>,
    options?: Partial<RawWorkerOptions>,
  ) => Promise<WelcomedWorker>;
  /** A worker of one type. */
  readonly workerOf: (type: string, slots?: number, options?: Partial<RawWorkerOptions>) => Promise<WelcomedWorker>;
  readonly state: (id: string) => Promise<string>;
  /** The kinds of a task's events, in order. */
  readonly kinds: (id: string) => Promise<string[]>;
  /** A task and its history as they are stored, to be compared before and after. */
  readonly stored: (id: string) => Promise<{ readonly row: TaskRow; readonly events: readonly EventRow[] }>;
  /** Waits until a task has ended and answers with its state. */
  readonly end: (id: string, withinMs?: number) => Promise<string>;
  readonly stop: () => Promise<void>;
}

/** A type without its name. */
type TypeSettings = Omit<Exclude<MessageInitShape<typeof TaskTypeSchema>, TaskType>, 'name'>;
type TaskRow = typeof task.$inferSelect;
type EventRow = typeof taskEvent.$inferSelect;
export type WelcomedWorker = RawWorker & {
  readonly session: { readonly sessionId: string; readonly resumeSecret: string };
};

export async function startEngineRig(settings: Record<string, string> = {}): Promise<EngineRig> {
  const coordinator = await startTestCoordinator(settings);
  const sql = postgres(coordinator.databaseUrl, { max: 2, onnotice: () => undefined, transform: postgres.camel });
  const [operatorToken, workerToken] = await Promise.all([coordinator.token('operator'), coordinator.token('worker')]);
  const operator = clientsOf(coordinator.grpcAddress, operatorToken);
  const open: RawWorker[] = [];
  let typeCount = 0;

  const rig: EngineRig = {
    coordinator,
    sql,
    ...operator,

    async type(taskType = {}) {
      typeCount += 1;
      const name = `type-${typeCount}`;
      await operator.types.applyTaskType({ taskType: { name, retryPolicy: quickRetry, ...taskType } });
      return name;
    },

    async submit(type, request = {}) {
      const { task: made } = await operator.tasks.submitTask({ type, ...request });
      if (made === undefined) throw new Error('a submission was answered without a task');
      return made.id;
    },

    async worker(hello, options = {}) {
      const raw = openRawWorker({ address: coordinator.grpcAddress, token: workerToken, hello, ...options });
      open.push(raw);
      const { sessionId, resumeSecret } = await raw.next('welcome');
      return { ...raw, session: { sessionId, resumeSecret } };
    },

    workerOf: (type, slots = 10, options = {}) =>
      rig.worker({ taskTypes: [{ taskType: type, slots }], slots }, options),

    async state(id) {
      const { task: found } = await operator.tasks.getTask({ id });
      return TaskState[found?.state ?? 0] ?? '';
    },

    async kinds(id) {
      const { events } = await operator.tasks.listTaskEvents({ taskId: id });
      return events.map((event) => TaskEventKind[event.kind] ?? '');
    },

    async stored(id) {
      const [row] = await sql<TaskRow[]>`SELECT * FROM task WHERE id = ${id}`;
      if (row === undefined) throw new Error(`there is no task ${id}`);
      const events = await sql<EventRow[]>`SELECT * FROM task_event WHERE task_id = ${id} ORDER BY sequence`;
      return { row, events: [...events] };
    },

    async end(id, withinMs = 10_000) {
      const seconds = Math.floor(withinMs / 1_000);
      const { task: found } = await operator.tasks.awaitTask({ id, timeout: { seconds: BigInt(seconds) } });
      return TaskState[found?.state ?? 0] ?? '';
    },

    async stop() {
      for (const worker of open) worker.cut();
      await sql.end();
      await coordinator.stop();
    },
  };
  return rig;
}

/** Backoff without a wait, so that tests of other things do not wait. */
export const quickRetry = { attemptsMax: 5, initialDelay: { nanos: 1_000_000 }, multiplier: 1 };

/** Clients of one node with one token. */
export function clientsOf(address: string, token: string) {
  const transport = createGrpcTransport({
    baseUrl: `http://${address}`,
    interceptors: [
      (call) => (request) => {
        request.header.set('authorization', `Bearer ${token}`);
        return call(request);
      },
    ],
  });
  return {
    tasks: createClient(TaskService, transport),
    types: createClient(TaskTypeService, transport),
    workers: createClient(WorkerService, transport),
    namespaces: createClient(NamespaceService, transport),
    events: createClient(EventService, transport),
  };
}

type Message = NonNullable<MessageInitShape<typeof WorkRequestSchema>['message']>;

/** A success without an output. */
export function success(...leases: readonly LeaseRef[]): Message {
  return { case: 'succeeded', value: { items: leases.map((lease) => ({ lease })) } };
}

/** A failure that may pass, unless said otherwise. */
export function failure(
  lease: LeaseRef,
  error: { readonly code?: string; readonly kind?: FailureKind } = {},
  retryAfterMs?: number,
): Message {
  const item = { lease, error: { code: 'BROKEN', message: 'it broke', ...error } };
  const wait = retryAfterMs === undefined ? {} : { retryAfter: durationFromMs(retryAfterMs) };
  return { case: 'failed', value: { items: [{ ...item, ...wait }] } };
}

export function acceptance(...leases: readonly LeaseRef[]): Message {
  return { case: 'accepted', value: { leases: [...leases] } };
}

export function release(...leases: readonly LeaseRef[]): Message {
  return { case: 'released', value: { leases: [...leases] } };
}
