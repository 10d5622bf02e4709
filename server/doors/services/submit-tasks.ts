import { create } from '@bufbuild/protobuf';
import type { Task } from '@dstc/contract/dstc/v1/task_pb';
import {
  type SubmitTaskRequest,
  SubmitTaskRequestSchema,
  type SubmitTaskResult,
  SubmitTaskResultSchema,
} from '@dstc/contract/dstc/v1/task_service_pb';
import type { Logger } from 'pino';
import type { Caller } from '../../auth/caller.ts';
import { DstcError } from '../../domain/errors.ts';
import type { Submission, Submit, Submitted } from '../../engine/submit.ts';
import type { SubmitLinked } from '../../engine/submit-linked.ts';
import type { Database } from '../../store/database.ts';
import { namespaceOf } from '../convert/namespace.ts';
import { submissionOf } from '../convert/submission.ts';
import { toSubmittedTask, toTask } from '../convert/task.ts';
import { callErrorOf, toDstcError } from '../errors.ts';
import { validateMessage } from '../validate.ts';
import { throwIfNoneWasTried } from './closed-door.ts';
import { taskSummary } from './find-task.ts';

export interface SubmitTasksDeps {
  readonly database: Database;
  readonly submit: Submit;
  readonly submitLinked: SubmitLinked;
  readonly log: Logger;
}

export interface TaskAnswer {
  readonly task: Task;
  readonly alreadyExisted: boolean;
}

/** Who submits, and in which trace. */
export interface Producer {
  readonly caller: Caller;
  readonly traceParent: string | undefined;
}

/** Submits one task; its type and its dependencies are the caller's to use. */
export async function submitTask(
  deps: SubmitTasksDeps,
  request: SubmitTaskRequest,
  from: Producer,
): Promise<TaskAnswer> {
  const { caller } = from;
  const submission = permittedSubmission(request, from);
  if (submission.dependencies.length === 0) return answerOf(deps, request, await deps.submit(submission));
  const [outcome] = await deps.submitLinked([submission], rightsOf(caller));
  if (outcome === undefined) throw new Error('a submission was answered with nothing');
  if (outcome instanceof DstcError) throw outcome;
  return answerOf(deps, request, outcome);
}

/** Submits tasks that may depend on each other; a result or an error for each. */
export async function submitTasks(
  deps: SubmitTasksDeps,
  requests: readonly SubmitTaskRequest[],
  from: Producer,
): Promise<SubmitTaskResult[]> {
  const areLinked = requests.some((request) => request.dependencies.length > 0);
  const outcomes = areLinked
    ? await submitTogether(deps, requests, from)
    : await Promise.all(requests.map((request) => attempt(deps, () => submitAlone(deps, request, from))));
  throwIfNoneWasTried(outcomes);
  return outcomes.map((outcome) => (outcome instanceof DstcError ? failedItem(outcome) : resultOf(outcome)));
}

async function submitAlone(deps: SubmitTasksDeps, request: SubmitTaskRequest, from: Producer): Promise<TaskAnswer> {
  validateMessage(SubmitTaskRequestSchema, request);
  return answerOf(deps, request, await deps.submit(permittedSubmission(request, from)));
}

async function submitTogether(
  deps: SubmitTasksDeps,
  requests: readonly SubmitTaskRequest[],
  from: Producer,
): Promise<(TaskAnswer | DstcError)[]> {
  const submissions = await Promise.all(
    requests.map((request) =>
      attempt(deps, async () => {
        validateMessage(SubmitTaskRequestSchema, request);
        return permittedSubmission(request, from);
      }),
    ),
  );
  const outcomes = await deps.submitLinked(submissions, rightsOf(from.caller));
  return Promise.all(
    outcomes.map(async (outcome, index) => {
      const request = requests[index];
      if (request === undefined) throw new Error('a submission was answered that nobody made');
      return outcome instanceof DstcError ? outcome : attempt(deps, () => answerOf(deps, request, outcome));
    }),
  );
}

async function attempt<Result>(deps: SubmitTasksDeps, call: () => Promise<Result>): Promise<Result | DstcError> {
  try {
    return await call();
  } catch (error) {
    return toDstcError(deps, error, { rpc: 'dstc.v1.TaskService/SubmitTasks' });
  }
}

function permittedSubmission(request: SubmitTaskRequest, { caller, traceParent }: Producer): Submission {
  caller.require('submit', namespaceOf(request), request.type);
  return submissionOf(request, { creator: caller.principal.actor, traceParent });
}

function rightsOf(caller: Caller) {
  return {
    mayRead: (namespace: string, type: string) => caller.may('read', namespace, type),
    mayReadPayload: (namespace: string, type: string) => caller.may('read_payload', namespace, type),
  };
}

/** A task that was made just now is known; another one is read. */
async function answerOf(deps: SubmitTasksDeps, request: SubmitTaskRequest, submitted: Submitted): Promise<TaskAnswer> {
  const alreadyExisted = submitted.kind === 'existed';
  if (!alreadyExisted && submitted.state !== 'CANCELLED') return { task: toSubmittedTask(submitted), alreadyExisted };
  const id = alreadyExisted ? submitted.id : submitted.inserted.id;
  return { task: toTask(await taskSummary(deps, { namespace: request.namespace, id })), alreadyExisted };
}

function resultOf({ task, alreadyExisted }: TaskAnswer): SubmitTaskResult {
  return create(SubmitTaskResultSchema, { result: { case: 'task', value: task }, alreadyExisted });
}

function failedItem(error: DstcError): SubmitTaskResult {
  return create(SubmitTaskResultSchema, { result: { case: 'error', value: callErrorOf(error) } });
}
