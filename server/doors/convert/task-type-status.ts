import { create } from '@bufbuild/protobuf';
import { type TaskTypeStatus, TaskTypeStatusSchema } from '@dstc/contract/dstc/v1/task_type_pb';
import { limits } from '../../domain/limits.ts';
import type { GateRow } from '../../store/gates.ts';
import type { QueueStatus } from '../../store/queue-status.ts';
import type { TaskTypeRow } from '../../store/task-types.ts';
import { toCircuitStatus } from './circuit.ts';
import { toPause } from './pause.ts';

/** What is known of a type at the moment, besides what was applied. */
export interface TaskTypeFacts {
  /** Undefined when nothing was ever held up of it. */
  readonly gate: GateRow | undefined;
  /** Of its namespace. */
  readonly namespaceGate: GateRow | undefined;
  /** Undefined when it was not looked at, which costs more than the rest. */
  readonly queue?: QueueStatus;
}

export function toTaskTypeStatus(row: TaskTypeRow, facts: TaskTypeFacts): TaskTypeStatus {
  const status = create(TaskTypeStatusSchema, { circuit: toCircuitStatus(facts.gate, row.circuitBreaker) });
  const pause = toPause(facts.gate);
  const namespacePause = toPause(facts.namespaceGate);
  if (facts.queue !== undefined) {
    const { waiting, running, tokens } = facts.queue;
    const countMax = limits.statusCountMax;
    status.waiting = Math.min(waiting, countMax);
    status.waitingIsMore = waiting > countMax;
    status.running = Math.min(running, countMax);
    status.runningIsMore = running > countMax;
    if (tokens !== null) status.tokens = tokens;
  }
  if (pause !== undefined) status.pause = pause;
  if (namespacePause !== undefined) status.namespacePause = namespacePause;
  return status;
}
