import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { expect } from 'vitest';
import type { Expected } from './bad-input/bad-call.ts';
import { Refusal } from './caller.ts';
import type { DoorName, Rig } from './rig.ts';

/** Sees to it that a call is refused with exactly this, leaves nothing behind, and that the node goes on serving. */
export async function expectRefused(
  rig: Rig,
  door: DoorName,
  call: () => Promise<unknown>,
  expected: Expected,
): Promise<Refusal> {
  const before = await rig.rowCounts();
  const refusal = await refusalOf(call());
  expect(outline(refusal)).toEqual({ fields: [], metadata: {}, ...expected });
  expect(await rig.rowCounts()).toEqual(before);
  await rig.doors[door].call(TaskTypeService.method.listTaskTypes, {}, rig.token('root'));
  return refusal;
}

export async function refusalOf(call: Promise<unknown>): Promise<Refusal> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof Refusal) return error;
  throw new Error('the call was not refused', { cause: error });
}

/** What a program can tell of a refusal. */
export function outline({ code, infos, violations }: Refusal): Expected {
  const [info] = infos;
  expect(infos).toEqual([{ reason: expect.any(String), domain: 'dstc', metadata: expect.any(Object) }]);
  const fields = [...new Set(violations.map(({ field }) => field))];
  return { code, reason: info?.reason ?? '', metadata: info?.metadata ?? {}, fields };
}
