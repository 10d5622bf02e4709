import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { afterAll, beforeAll, describe, it } from 'vitest';
import type { BadCall } from './bad-input/bad-call.ts';
import { ids, labels, names, namespaces } from './bad-input/names.ts';
import { numbers, times } from './bad-input/numbers.ts';
import { pageTokens, texts } from './bad-input/texts.ts';
import { applications, circuits, missing } from './bad-input/types.ts';
import { expectRefused } from './refused.ts';
import { doorNames, type Rig, startRig } from './rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
  const taskType = { name: 'a.plain' };
  await rig.doors.gRPC.call(TaskTypeService.method.applyTaskType, { taskType }, rig.token('root'));
});
afterAll(() => rig.stop());

const tables: Readonly<Record<string, readonly BadCall[]>> = {
  names,
  labels,
  namespaces,
  ids,
  times,
  numbers,
  texts,
  pageTokens,
  applications,
  circuits,
  missing,
};

describe.each(doorNames)('over %s', (door) => {
  describe.each(Object.entries(tables))('%s', (_, calls) => {
    it.each(calls)('refuses $title', async ({ send, expected }) => {
      await expectRefused(rig, door, () => send(rig, door), expected(door));
    });
  });
});
