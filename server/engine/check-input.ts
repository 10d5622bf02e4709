import { DstcError, taskTypeNotFound } from '../domain/errors.ts';
import { checkPayloadSize, type Payload } from '../domain/payload.ts';
import type { KnownTaskType, TaskTypes } from './task-types.ts';

export interface CheckInputDeps {
  readonly types: TaskTypes;
  readonly payloadBytesMax: number;
}

/** Refuses an input that is too large or that its type's schema does not allow; answers with the type. */
export async function checkInput(
  deps: CheckInputDeps,
  namespace: string,
  type: string,
  input: Payload,
): Promise<KnownTaskType> {
  checkPayloadSize('input', input, deps.payloadBytesMax);
  const known = await deps.types.get(namespace, type);
  if (known.row.deleteTime !== null) throw taskTypeNotFound(type);
  const violations = (await known.checkInput?.(input)) ?? [];
  const [first] = violations;
  if (first === undefined) return known;
  throw new DstcError(
    'INPUT_INVALID',
    `the input does not match the schema of ${type}: ${first.field} ${first.description}`,
    {
      metadata: { task_type: type },
      violations: violations.map(({ field, description }) => ({ field: `input${field}`, description })),
    },
  );
}
