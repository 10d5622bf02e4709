import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { parseLeaseId, parseSessionId, parseTaskId } from '../../server/domain/ids.ts';
import { startEngine } from '../../server/engine/engine.ts';
import { openDatabase } from '../../server/store/database.ts';
import { freePort } from '../setup/free-port.ts';

test('a node ends while Postgres is away, with accepts and progress that it cannot write', async () => {
  const url = `postgres://nobody@127.0.0.1:${await freePort()}/nothing`;
  const database = openDatabase({ url, connections: 2, applicationName: 'stop' });
  const options = { node: 'node', leaseMs: 60_000, payloadBytesMax: 1_000, historyDays: 1 };
  const engine = startEngine({ database, log: pino({ level: 'silent' }) }, options);
  const from = { sessionId: parseSessionId(randomUUID()), namespace: 'default', actor: 'worker', may: () => true };
  for (let count = 0; count < 600; count += 1) {
    const fence = { taskId: parseTaskId(randomUUID()), attempt: 1, leaseId: parseLeaseId(randomUUID()) };
    engine.accepts.add(from, fence);
    engine.progress.add(from, fence, { percent: 1, message: '', checkpoint: undefined });
  }
  await expect(engine.stop()).resolves.toBeUndefined();
  await database.close();
});
