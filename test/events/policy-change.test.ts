import { writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type EventRig, policyText, startEventRig } from './rig.ts';
import { eventDoors } from './subscriber.ts';

let rig: EventRig;
beforeEach(async () => {
  rig = await startEventRig();
});
afterEach(() => rig.stop());

test.each(eventDoors)(
  'over %s an open stream follows the policy, and ends when nothing may be read any more',
  async (door) => {
    const subscriber = await rig.subscribe({ door, token: await rig.token('reader') });
    await writeFile(rig.policyFile, policyText.replace(/(reader .*)'a\.\*'/, "$1'b.*'"));
    let seen: string | undefined;
    const first = subscriber.events(1).then(([event]) => {
      seen = event?.event?.taskType;
    });
    // What is written before the node has read the new policy stays unseen.
    const write = async () => (await rig.write(1, { type: 'b.plain' })) && seen;
    await expect.poll(write, { timeout: 10_000 }).toBe('b.plain');
    await first;
    await writeFile(rig.policyFile, policyText.replace('client_id: reader', 'client_id: nobody'));
    expect(await subscriber.end()).toEqual({ code: 'PermissionDenied', reason: 'PERMISSION_MISSING' });
  },
);
