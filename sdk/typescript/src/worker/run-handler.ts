import { decodePayload } from '../payload.ts';
import { PermanentError } from './handler-errors.ts';
import type { Job } from './job.ts';
import { failedBy, type Report, succeeded } from './report.ts';
import type { TaskContext } from './task-context.ts';

/** Does the work of one task type: takes the input, returns the output. */
export type Handler = (input: unknown, context: TaskContext) => unknown;

/** Runs a handler to its end, however that comes. */
export async function runHandler(
  handler: Handler,
  job: Job,
  context: TaskContext,
  payloadBytesMax: number,
): Promise<Report> {
  try {
    return succeeded(await handler(inputOf(job), context), payloadBytesMax);
  } catch (error) {
    return failedBy(error, job.interruption);
  }
}

function inputOf(job: Job): unknown {
  try {
    return decodePayload(job.assignment.input);
  } catch (error) {
    throw new PermanentError('INPUT_INVALID', 'the input says that it is JSON and is not', { cause: error });
  }
}
