import type { Hello } from '@dstc/contract/dstc/v1/worker_pb';
import type { WorkRequest } from '@dstc/contract/dstc/v1/worker_service_pb';
import type { Caller } from '../../auth/caller.ts';
import { DstcError, fieldInvalid } from '../../domain/errors.ts';
import { limits } from '../../domain/limits.ts';
import type { WorkerInfo } from '../../engine/sessions.ts';
import { namespaceOf } from '../convert/namespace.ts';

/** Waits for the first message of a stream, which must be Hello. */
export async function receiveHello(inbound: AsyncIterator<WorkRequest>): Promise<Hello> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const message = `no Hello within ${limits.helloWaitMs} ms of opening the stream; send it first`;
    late.reject(new DstcError('DEADLINE_EXCEEDED', message, { metadata: { limit_ms: String(limits.helloWaitMs) } }));
  }, limits.helloWaitMs);
  try {
    const first = await Promise.race([inbound.next(), late.promise]);
    if (!first.done && first.value.message.case === 'hello') return first.value.message.value;
    const got = first.done ? 'the end of the stream' : (first.value.message.case ?? 'an empty message');
    throw new DstcError('PROTOCOL_VIOLATION', `the first message must be Hello, not ${got}`);
  } finally {
    clearTimeout(timer);
  }
}

/** What a worker says of itself, once its principal may work on all that it names. */
export function workerInfoOf(hello: Hello, caller: Caller, may: (type: string) => boolean): WorkerInfo {
  const namespace = namespaceOf(hello);
  const slotsByType = new Map<string, number>();
  for (const [index, { taskType, slots }] of hello.taskTypes.entries()) {
    if (slotsByType.has(taskType)) throw fieldInvalid(`task_types[${index}]`, `names ${taskType} a second time`);
    caller.require('work', namespace, taskType);
    slotsByType.set(taskType, slots);
  }
  return {
    namespace,
    actor: caller.principal.actor,
    may,
    slots: hello.slots,
    slotsByType,
    labels: hello.labels,
    sdkName: hello.sdk?.name ?? '',
    sdkVersion: hello.sdk?.version ?? '',
    buildVersion: hello.buildVersion,
  };
}
