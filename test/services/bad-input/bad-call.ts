import type { DescMessage, DescMethodUnary, MessageInitShape } from '@bufbuild/protobuf';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { postJson } from '../caller.ts';
import type { DoorName, Rig, Who } from '../rig.ts';

/** What a refusal must be, to the last field and value. */
export interface Expected {
  readonly code: string;
  readonly reason: string;
  readonly fields?: readonly string[];
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface BadCall {
  readonly title: string;
  readonly send: (rig: Rig, door: DoorName) => Promise<unknown>;
  readonly expected: (door: DoorName) => Expected;
}

interface Options<I extends DescMessage> {
  readonly title: string;
  readonly method: DescMethodUnary<I, DescMessage>;
  readonly request: MessageInitShape<I>;
  /** What goes over HTTP instead, where JSON cannot hold the request. */
  readonly body?: string;
  /** The fields that are named then. None when the body is refused while it is read. */
  readonly bodyFields?: readonly string[];
  readonly who?: Who;
  readonly expected: Expected;
}

export function badCall<I extends DescMessage>(options: Options<I>): BadCall {
  const { title, method, request, body, bodyFields = [], who = 'root', expected } = options;
  const isReplaced = (door: DoorName) => door === 'HTTP/JSON' && body !== undefined;
  return {
    title,
    send: (rig, door) =>
      isReplaced(door)
        ? postJson(rig.coordinator.httpUrl, method, body ?? '', rig.token(who))
        : rig.doors[door].call(method, request, rig.token(who)),
    expected: (door) => (isReplaced(door) ? { ...expected, fields: bodyFields } : expected),
  };
}

export function fieldInvalid(...fields: string[]): Expected {
  return { code: 'InvalidArgument', reason: 'FIELD_INVALID', fields };
}

/** A submission that is right but for one field. */
export function badSubmission(
  title: string,
  request: MessageInitShape<typeof TaskService.method.submitTask.input>,
  field: string,
  body?: string,
): BadCall {
  return badCall({
    title: `a submission with ${title}`,
    method: TaskService.method.submitTask,
    request: { type: 'a.plain', ...request },
    ...(body !== undefined && { body }),
    expected: fieldInvalid(field),
  });
}

const { cancelTask, pauseTask, resumeTask, skipTask, redriveTask, discardTask } = TaskService.method;
/** What steers one task. All of them take what PauseTask takes. */
export const controlMethods = [
  cancelTask,
  pauseTask,
  resumeTask,
  skipTask,
  redriveTask,
  discardTask,
] as DescMethodUnary<typeof pauseTask.input, typeof pauseTask.output>[];

/** A task that nobody has submitted. */
export const noTask = '01890a5d-ac96-774b-bcce-b302099a8057';
