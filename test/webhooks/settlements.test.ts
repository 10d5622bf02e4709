import { pino } from 'pino';
import postgres from 'postgres';
import { expect, test } from 'vitest';
import type { Outcome } from '../../server/events/webhooks/outcome.ts';
import { recordSettlements } from '../../server/events/webhooks/settlements.ts';
import { type ClaimedDelivery, claimDueDeliveries } from '../../server/store/claim-deliveries.ts';
import { openDatabase } from '../../server/store/database.ts';
import { insertNewDeliveries } from '../../server/store/insert-deliveries.ts';
import { createTestDatabase } from '../setup/database.ts';
import { statementsWait } from '../setup/statements-wait.ts';

const taken: Outcome = { is: 'taken', status: 200, remark: '', externalId: null };
const failed: Outcome = { is: 'failed', status: 500, error: 'no', retryAfterMs: 0 };
const log = pino({ level: 'silent' });

test('nodes that saw the same webhooks succeed and fail crosswise note both, and none waits for another that waits for it', async () => {
  const testDatabase = await createTestDatabase();
  const database = openDatabase({ url: testDatabase.url, connections: 4, applicationName: 'settlements' });
  const sql = postgres(testDatabase.url, { max: 2 });
  try {
    const webhooks = await sql<{ id: string }[]>`
      INSERT INTO webhook (id, namespace, description, url, filter, headers, secret_headers, format, secret, since_order, etag,
        creator)
      SELECT dstc_uuid7(now()), 'default', '', 'https://hooks.example.com', '{}', '{}', '{}', '{"kind":"cloud_event"}', '', '0', '',
        'test'
      FROM generate_series(1, 2)
      RETURNING id`;
    const [first = '', second = ''] = webhooks.map(({ id }) => id).sort();
    const eventIds = ['one', 'two'];
    await database.run((run) =>
      insertNewDeliveries(
        run,
        [first, second].flatMap((webhookId) =>
          eventIds.map((eventId) => ({ webhookId, eventId, eventType: 't', event: '{}', threadId: null, sequence: 1 })),
        ),
        60_000,
      ),
    );
    const options = { deliveriesMax: 10, perWebhookMax: 10, perFreePlaceMax: 10, sending: new Map(), leaseMs: 60_000 };
    const claimed = await database.run((run) => claimDueDeliveries(run, options));
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
      await holder`SELECT FROM webhook WHERE id = ${first} FOR UPDATE`;
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
  } finally {
    await sql.end();
    await database.close();
    await testDatabase.drop();
  }
});
