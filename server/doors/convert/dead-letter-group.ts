import { create } from '@bufbuild/protobuf';
import { DeadLetterGroupSchema, type DeadLetterGroup as GroupMessage } from '@dstc/contract/dstc/v1/task_service_pb';
import type { DeadLetterGroup } from '../../store/summarize-dead-letters.ts';
import { toTimestamp } from './time.ts';

export function toDeadLetterGroup({ lastFailedMs, errorFingerprint, ...group }: DeadLetterGroup): GroupMessage {
  return create(DeadLetterGroupSchema, {
    type: group.type,
    errorCode: group.errorCode,
    errorFingerprint: errorFingerprint ?? '',
    count: group.count,
    message: group.message,
    newestId: group.newestId,
    lastFailedTime: toTimestamp(new Date(lastFailedMs)),
  });
}
