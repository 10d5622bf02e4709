import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseSessionId } from '../../server/domain/ids.ts';
import { assembleEngine } from '../../server/engine/engine.ts';
import { LiveSession } from '../../server/engine/live-session.ts';
import { type ClaimRig, noLimits, startClaimRig } from './rig.ts';

let rig: ClaimRig;
beforeAll(async () => {
  rig = await startClaimRig();
});
afterAll(() => rig.stop());

function sessionOf(type: string): LiveSession {
  return new LiveSession({
    ...{ sessionId: parseSessionId(randomUUID()), namespace: 'default', actor: 'worker', may: () => true },
    ...{ slots: 1, slotsByType: new Map([[type, 1]]) },
    outlet: {
      assign: () => undefined,
      cancel: () => undefined,
      stop: () => undefined,
      lost: () => undefined,
      isCongested: () => false,
    },
  });
}

test.each([
  ['has left', 'leaves'],
  ['has no room any more', 'fills'],
] as const)('is idle once the only session that wants of a type %s, whoever else claims of it', async (_, how) => {
  const log = pino({ level: 'silent' });
  const options = { node: 'node', leaseMs: 60_000, payloadBytesMax: 1_000, historyDays: 1 };
  const { dispatch, wake } = assembleEngine({ database: rig.database, log }, options);
  await rig.apply(how, { ...noLimits, concurrencyMax: 1 });
  await rig.insert(how, [{}]);
  const session = sessionOf(how);
  const claimed = Promise.withResolvers<void>();
  // Given at the end of each claim, whether or not it found anything.
  wake.tasksChanged.listen(() => claimed.resolve());
  await rig.sql.begin(async (sql) => {
    await sql`SELECT FROM limited_type WHERE type = ${how} FOR UPDATE`;
    dispatch.join(session);
    await claimed.promise;
    if (how === 'leaves') dispatch.leave(session);
    else session.demand(0, []);
    await dispatch.idle();
  });
  expect(dispatch.wants()).toEqual([]);
  await dispatch.idle();
});
