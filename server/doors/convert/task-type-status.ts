import { create } from '@bufbuild/protobuf';
import { type TaskTypeStatus, TaskTypeStatusSchema } from '@dstc/contract/dstc/v1/task_type_pb';
import type { GateRow } from '../../store/gates.ts';
import type { TaskTypeRow } from '../../store/task-types.ts';
import { toCircuitStatus } from './circuit.ts';
import { toPause } from './pause.ts';

/** What is known of a type at the moment, besides what was applied. */
export interface TaskTypeFacts {
  /** Undefined when nothing was ever held up of it. */
  readonly gate: GateRow | undefined;
  /** Of its namespace. */
  readonly namespaceGate: GateRow | undefined;
}

export function toTaskTypeStatus(row: TaskTypeRow, facts: TaskTypeFacts): TaskTypeStatus {
  const status = create(TaskTypeStatusSchema, { circuit: toCircuitStatus(facts.gate, row.circuitBreaker) });
  const pause = toPause(facts.gate);
  const namespacePause = toPause(facts.namespaceGate);
  if (pause !== undefined) status.pause = pause;
  if (namespacePause !== undefined) status.namespacePause = namespacePause;
  return status;
}
