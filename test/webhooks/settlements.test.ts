import { pino } from 'pino';
import postgres from 'postgres';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Outcome } from '../../server/events/webhooks/outcome.ts';
import { recordSettlements } from '../../server/events/webhooks/settlements.ts';
import { type ClaimedDelivery, claimDueDeliveries } from '../../server/store/claim-deliveries.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { insertNewDeliveries } from '../../server/store/insert-deliveries.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';
import { statementsWait } from '../setup/statements-wait.ts';

const taken: Outcome = { is: 'taken', status: 200, remark: '', externalId: null };
const failed: Outcome = { is: 'failed', status: 500, error: 'no', retryAfterMs: 0 };
const log = pino({ level: 'silent' });

let testDatabase: TestDatabase;
let database: Database;
let sql: postgres.Sql;

beforeEach(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase({ url: testDatabase.url, connections: 4, applicationName: 'settlements' });
  sql = postgres(testDatabase.url, { max: 2 });
});
afterEach(async () => {
  await sql.end();
  await database.close();
  await testDatabase.drop();
});

/** Webhooks with a delivery of each event, in the order of their ids. */
async function webhooksWith(count: number, eventIds: readonly string[]): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    INSERT INTO webhook (id, namespace, description, url, filter, headers, secret_headers, format, secret, since_order, etag,
      creator)
    SELECT dstc_uuid7(now()), 'default', '', 'https://hooks.example.com', '{}', '{}', '{}', '{"kind":"cloud_event"}', '', '0', '',
      'test'
    FROM generate_series(1, ${count}::int)
    RETURNING id`;
  const ids = rows.map(({ id }) => id).sort();
  const deliveries = ids.flatMap((webhookId) =>
    eventIds.map((eventId) => ({ webhookId, eventId, eventType: 't', event: '{}', threadId: null, sequence: 1 })),
  );
  await database.run((run) => insertNewDeliveries(run, deliveries, 60_000));
  return ids;
}

function claim(): Promise<ClaimedDelivery[]> {
  const options = { deliveriesMax: 10, perWebhookMax: 10, perFreePlaceMax: 10, sending: new Map(), leaseMs: 60_000 };
  return database.run((run) => claimDueDeliveries(run, options));
}

test('nodes that saw the same webhooks succeed and fail crosswise note both, and none waits for another that waits for it', async () => {
  const [first] = await webhooksWith(2, ['one', 'two']);
  const claimed = await claim();
  expect(claimed).toHaveLength(4);
  const settle = (eventId: string, outcomeOf: (delivery: ClaimedDelivery) => Outcome) =>
    recordSettlements(
      { database, log },
      claimed
        .filter((delivery) => delivery.eventId === eventId)
        .map((delivery) => ({ delivery, outcome: outcomeOf(delivery), durationMs: 1 })),
    );

  let settling: Promise<void>[] = [];
  await sql.begin(async (holder) => {
    await holder`SELECT FROM webhook WHERE id = ${first ?? ''} FOR UPDATE`;
    settling = [
      settle('one', ({ webhookId }) => (webhookId === first ? taken : failed)),
      settle('two', ({ webhookId }) => (webhookId === first ? failed : taken)),
    ];
    await statementsWait(sql, 2);
  });
  await Promise.all(settling);
  const ends = await sql`SELECT state, count(*)::int FROM webhook_delivery GROUP BY state ORDER BY state`;
  expect(ends).toEqual([
    { state: 'PENDING', count: 2 },
    { state: 'SUCCEEDED', count: 2 },
  ]);
  const noted = await sql<{ well: boolean; ill: boolean }[]>`
    SELECT last_success_time IS NOT NULL AS well, last_failure_time IS NOT NULL AS ill FROM webhook`;
  expect(noted).toEqual([
    { well: true, ill: true },
    { well: true, ill: true },
  ]);
});

test('an endpoint whose circuit is open is tried when its time has come, also while deliveries are made for it', async () => {
  const [id = ''] = await webhooksWith(1, ['one', 'two']);
  await sql`UPDATE webhook SET probe_time = now()`;
  await sql.begin(async (making) => {
    await making`SELECT FROM webhook WHERE id = ${id} FOR KEY SHARE`;
    expect(await claim()).toMatchObject([{ webhookId: id, isProbe: true }]);
    expect(await claim()).toEqual([]);
  });
});
