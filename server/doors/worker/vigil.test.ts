import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { parseSessionId } from '../../domain/ids.ts';
import { LiveSession } from '../../engine/live-session.ts';
import type { Access } from './access.ts';
import { createOutbox } from './outbox.ts';
import { keepVigil } from './vigil.ts';

const heartbeatMs = 100;
const access: Access = {
  may: () => true,
  leftMs: () => 60_000,
  before: (work) => work,
  wantsToken: () => false,
  renew: async () => undefined,
};

function watched() {
  const outbox = createOutbox({ onRoom: () => undefined, cut: () => undefined });
  const session = new LiveSession({
    ...{ sessionId: parseSessionId(randomUUID()), namespace: 'default', actor: 'worker', may: () => true },
    ...{ slots: 1, slotsByType: new Map([['work', 1]]) },
    outlet: {
      assign: () => undefined,
      cancel: () => undefined,
      stop: () => undefined,
      lost: () => undefined,
      isCongested: outbox.isCongested,
    },
  });
  const vigil = keepVigil({ session, access, outbox, heartbeatMs });
  return { session, vigil, messages: outbox[Symbol.asyncIterator]() };
}

test('a worker that gives no sign of life for two heartbeats is given up', async () => {
  const { vigil, messages } = watched();
  const read = async () => {
    while (!(await messages.next()).done);
  };
  await expect(read()).rejects.toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
  vigil.stop();
});

test('the node does not take its own sleep for the silence of a worker', async () => {
  const { session, vigil, messages } = watched();
  const awake = Promise.withResolvers<void>();
  setImmediate(() => {
    // What has arrived meanwhile is read only after the timers.
    setImmediate(() => session.seen());
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4 * heartbeatMs);
    awake.resolve();
  });
  await awake.promise;
  for (let ping = 0; ping < 2; ping += 1) {
    const { value } = await messages.next();
    expect(value?.message.case).toBe('ping');
    session.seen();
  }
  vigil.stop();
});
