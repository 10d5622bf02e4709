export type { TlsOptions } from './channel.ts';
export type { CircuitBreakerOptions, CircuitMode, CircuitState, CircuitStatus } from './circuit.ts';
export type { Client, ClientOptions, ListOptions, SubmitResult, WaitOptions } from './client.ts';
export { createClient } from './client.ts';
export type { ClientCredentialsOptions } from './client-credentials.ts';
export { clientCredentials } from './client-credentials.ts';
export type { CloudEvent } from './cloud-event.ts';
export type { Connection, DevClient, DevProfile } from './connection.ts';
export { connectionFor, findDevProfile } from './connection.ts';
export type { CancelOptions, Control, ControlOptions, RedriveOptions } from './control.ts';
export type {
  CancelManyOptions,
  ControlMany,
  ControlManyOptions,
  ControlManyResult,
  RedriveManyOptions,
} from './control-many.ts';
export type { Credentials } from './credentials.ts';
export { staticToken } from './credentials.ts';
export type { DeadLetterGroup, DeadLetterSummary } from './dead-letters.ts';
export type { ErrorCode, ErrorReason, FieldViolation } from './errors.ts';
export { DstcError, isReason, TaskCancelledError, TaskFailedError } from './errors.ts';
export type { DstcEvent, DstcEventKind, DstcEventOf, EventData, EventLease, EventTask } from './event.ts';
export type { EventRule, EventRuleDefinition, EventRules, EventRuleTest } from './event-rules.ts';
export type { EventsOptions } from './events.ts';
export type { IdentityProviderOptions } from './identity-provider.ts';
export { CredentialsError } from './identity-provider.ts';
export type { LimitKeyOptions, LimitOptions, RateOptions } from './limits.ts';
export type { Namespace, Namespaces } from './namespaces.ts';
export type { Pause, PauseOptions } from './pause-state.ts';
export { type BinaryPayload, isContentType, type JsonValue } from './payload.ts';
export type { DeadlineOptions, RetryOptions } from './policies.ts';
export type { EventPublishing, EventRuleOutcome, PublishedEvent, PublishResult } from './publish-events.ts';
export type { RebuildEventsOptions } from './rebuild-events.ts';
export type { DependencyTarget, DependsOn, OnFailure, Submission, SubmitOptions } from './submission.ts';
export type {
  Dependency,
  FailureKind,
  Task,
  TaskError,
  TaskEvent,
  TaskEventKind,
  TaskProgress,
  TaskState,
} from './task.ts';
export { isFinal } from './task.ts';
export type { LabelCondition, TaskFilter } from './task-filter.ts';
export type { TaskHandle } from './task-handle.ts';
export type { TaskType, TaskTypeDefinition, TaskTypeStatus, TaskTypes } from './task-types.ts';
export type { TokenSet } from './token-cache.ts';
export type { DeviceFlowOptions, DevicePrompt, UserCredentialsOptions } from './user-credentials.ts';
export { deviceFlow, userCredentials } from './user-credentials.ts';
export type { EventFilter, WebhookDefinition, WebhookFormat } from './webhook-definition.ts';
export type {
  Webhook,
  WebhookDelivery,
  WebhookDeliveryState,
  WebhookReplay,
  WebhookStatus,
  Webhooks,
  WebhookTest,
} from './webhooks.ts';
export type { InterruptionCause } from './worker/handler-errors.ts';
export { FatalError, HandlerError, InterruptedError, PermanentError, RetryableError } from './worker/handler-errors.ts';
export type { Connected } from './worker/session.ts';
export type { AssignedTask, DependencyResult, ProgressUpdate, TaskContext } from './worker/task-context.ts';
export type { HandleOptions, StopOptions, WorkerDrain, WorkerOptions } from './worker.ts';
export { Worker } from './worker.ts';
export type { DrainOptions, WorkerSession } from './worker-sessions.ts';
