import { create, type JsonObject } from '@bufbuild/protobuf';
import { durationFromMs, durationMs } from '@bufbuild/protobuf/wkt';
import { CircuitMode as ContractMode } from '@dstc/contract/dstc/v1/circuit_pb';
import { type TaskType as ContractTaskType, TaskTypeSchema } from '@dstc/contract/dstc/v1/task_type_pb';
import {
  ApplyTaskTypeRequestSchema,
  DeleteTaskTypeRequestSchema,
  GetTaskTypeRequestSchema,
  ListTaskTypesRequestSchema,
  PauseTaskTypeRequestSchema,
  ResumeTaskTypeRequestSchema,
  SetTaskTypeCircuitRequestSchema,
  TaskTypeService,
} from '@dstc/contract/dstc/v1/task_type_service_pb';
import type { Caller } from './caller.ts';
import {
  type CircuitBreakerOptions,
  type CircuitMode,
  type CircuitStatus,
  circuitBreakerInit,
  circuitBreakerOptionsOf,
  circuitStatusOf,
} from './circuit.ts';
import { type LimitOptions, limitOptionsOf, limitsInit } from './limits.ts';
import { type Pause, type PauseOptions, pauseOf } from './pause-state.ts';
import {
  type DeadlineOptions,
  deadlineOptionsOf,
  deadlinesInit,
  type RetryOptions,
  retryOptionsOf,
  retryPolicyInit,
} from './policies.ts';
import { dateOf } from './task.ts';

/** A task type to be; what is left out has the coordinator's default. */
export interface TaskTypeDefinition {
  /** Such as `email.send`. */
  readonly name: string;
  readonly description?: string | undefined;
  /** JSON Schema (2020-12); left out, anything is accepted. */
  readonly inputSchema?: JsonObject | undefined;
  readonly outputSchema?: JsonObject | undefined;
  readonly retry?: RetryOptions | undefined;
  readonly deadlines?: DeadlineOptions | undefined;
  readonly limits?: LimitOptions | undefined;
  /** 0 to 9, for tasks that bring none. */
  readonly priority?: number | undefined;
  /** How long ended tasks are kept. */
  readonly retentionMs?: number | undefined;
  readonly circuitBreaker?: CircuitBreakerOptions | undefined;
  /** As read before, to change just that version. */
  readonly etag?: string | undefined;
}

/** A task type as it is. */
export interface TaskType extends TaskTypeDefinition {
  readonly namespace: string;
  readonly description: string;
  readonly etag: string;
  readonly createTime: Date | undefined;
  readonly updateTime: Date | undefined;
  readonly status: TaskTypeStatus;
}

/** How a task type stands at the moment of the answer. */
export interface TaskTypeStatus {
  /** Tasks that wait and that run, counted up to 10,000; zero in lists, where they are not counted. */
  readonly waiting: number;
  readonly running: number;
  /** Leases that its rate allows at this moment; undefined without a rate. */
  readonly tokens: number | undefined;
  /** Set while it is paused. */
  readonly pause: Pause | undefined;
  /** Set while its whole namespace is. */
  readonly namespacePause: Pause | undefined;
  readonly circuit: CircuitStatus;
}

export interface TaskTypes {
  /** Creates or replaces a task type. */
  apply(definition: TaskTypeDefinition): Promise<TaskType>;
  get(name: string): Promise<TaskType>;
  /** By name, page by page. */
  list(): AsyncIterable<TaskType>;
  /**
   * Stops the leasing of its tasks on all nodes: submissions are still taken, and attempts that run go on. Pausing again
   * changes nothing.
   */
  pause(name: string, options?: PauseOptions): Promise<TaskType>;
  resume(name: string, options?: PauseOptions): Promise<TaskType>;
  /** Opens or closes the circuit by hand, or leaves it to its breaker, which then begins anew with a closed circuit. */
  setCircuit(name: string, mode: CircuitMode, options?: PauseOptions): Promise<TaskType>;
  /** Deletes a task type that has no unfinished tasks; with an etag only that version. Ended tasks stay readable. */
  delete(name: string, options?: { readonly etag?: string | undefined }): Promise<void>;
}

export function createTaskTypes(caller: Caller, namespace: string): TaskTypes {
  return {
    async apply(definition) {
      const request = create(ApplyTaskTypeRequestSchema, { taskType: contractOf(namespace, definition) });
      // With an etag, a retry after a lost answer would be refused although the change was made.
      const retriable = definition.etag === undefined;
      const { taskType } = await caller.unary(TaskTypeService.method.applyTaskType, request, { retriable });
      return taskTypeOf(taskType);
    },
    async get(name) {
      const request = create(GetTaskTypeRequestSchema, { namespace, name });
      const { taskType } = await caller.unary(TaskTypeService.method.getTaskType, request);
      return taskTypeOf(taskType);
    },
    async *list() {
      let pageToken = '';
      do {
        const request = create(ListTaskTypesRequestSchema, { namespace, pageToken });
        const page = await caller.unary(TaskTypeService.method.listTaskTypes, request);
        yield* page.taskTypes.map(taskTypeOf);
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
    },
    async pause(name, { reason = '' } = {}) {
      const request = create(PauseTaskTypeRequestSchema, { namespace, name, reason });
      return taskTypeOf((await caller.unary(TaskTypeService.method.pauseTaskType, request)).taskType);
    },
    async resume(name, { reason = '' } = {}) {
      const request = create(ResumeTaskTypeRequestSchema, { namespace, name, reason });
      return taskTypeOf((await caller.unary(TaskTypeService.method.resumeTaskType, request)).taskType);
    },
    async setCircuit(name, mode, { reason = '' } = {}) {
      const request = create(SetTaskTypeCircuitRequestSchema, { namespace, name, mode: ContractMode[mode], reason });
      return taskTypeOf((await caller.unary(TaskTypeService.method.setTaskTypeCircuit, request)).taskType);
    },
    async delete(name, { etag = '' } = {}) {
      const request = create(DeleteTaskTypeRequestSchema, { namespace, name, etag });
      // A retry after a lost answer would find nothing although this call has deleted it.
      await caller.unary(TaskTypeService.method.deleteTaskType, request, { retriable: false });
    },
  };
}

function contractOf(namespace: string, definition: TaskTypeDefinition): ContractTaskType {
  const { name, description, inputSchema, outputSchema, retry, deadlines, limits, priority, retentionMs, etag } =
    definition;
  const { circuitBreaker } = definition;
  return create(TaskTypeSchema, {
    namespace,
    name,
    ...(description !== undefined && { description }),
    ...(inputSchema !== undefined && { inputSchema }),
    ...(outputSchema !== undefined && { outputSchema }),
    ...(retry !== undefined && { retryPolicy: retryPolicyInit(retry) }),
    ...(deadlines !== undefined && { deadlines: deadlinesInit(deadlines) }),
    ...(limits !== undefined && { limits: limitsInit(limits) }),
    ...(priority !== undefined && { priority }),
    ...(retentionMs !== undefined && { retention: durationFromMs(retentionMs) }),
    ...(circuitBreaker !== undefined && { circuitBreaker: circuitBreakerInit(circuitBreaker) }),
    ...(etag !== undefined && { etag }),
  });
}

function taskTypeOf(type: ContractTaskType | undefined): TaskType {
  if (type === undefined) throw new Error('the coordinator answered without a task type');
  return {
    namespace: type.namespace,
    name: type.name,
    description: type.description,
    inputSchema: type.inputSchema,
    outputSchema: type.outputSchema,
    retry: type.retryPolicy && retryOptionsOf(type.retryPolicy),
    deadlines: type.deadlines && deadlineOptionsOf(type.deadlines),
    limits: type.limits && limitOptionsOf(type.limits),
    priority: type.priority,
    retentionMs: type.retention && durationMs(type.retention),
    circuitBreaker: type.circuitBreaker && circuitBreakerOptionsOf(type.circuitBreaker),
    etag: type.etag,
    createTime: dateOf(type.createTime),
    updateTime: dateOf(type.updateTime),
    status: {
      waiting: type.status?.waiting ?? 0,
      running: type.status?.running ?? 0,
      tokens: type.status?.tokens,
      pause: pauseOf(type.status?.pause),
      namespacePause: pauseOf(type.status?.namespacePause),
      circuit: circuitStatusOf(type.status?.circuit),
    },
  };
}
