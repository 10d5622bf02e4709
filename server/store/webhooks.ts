import type { Sql } from './database.ts';
import { and, asc, eq, sql as fragment, isNull, type PostgresJsDatabase } from './drizzle.ts';
import { webhook } from './webhook-tables.ts';

export type WebhookRow = typeof webhook.$inferSelect;

/** What people set of a webhook. */
export type WebhookSettings = Pick<
  WebhookRow,
  'namespace' | 'description' | 'url' | 'filter' | 'headers' | 'secretHeaders' | 'format'
> & { readonly isDisabled: boolean };

const id = fragment<string>`dstc_uuid7(now())`;
/** What commits from now on, and nothing that had been answered before. */
const fromNowOn = fragment<string>`pg_current_xact_id()`;

/**
 * Creates a webhook; undefined when the namespace has as many as it may. Two calls at the same time may each make the
 * last one: the bound keeps a namespace from flooding the others, and one more does not.
 */
export async function insertWebhookBelow(
  orm: PostgresJsDatabase,
  webhooksMax: number,
  { isDisabled, ...settings }: WebhookSettings,
  made: Pick<WebhookRow, 'secret' | 'etag' | 'creator'>,
): Promise<WebhookRow | undefined> {
  const { namespace } = settings;
  const others = await orm.$count(webhook, and(eq(webhook.namespace, namespace), isNull(webhook.deleteTime)));
  if (others >= webhooksMax) return undefined;
  const disabledTime = isDisabled ? fragment<Date>`now()` : null;
  const rows = await orm
    .insert(webhook)
    .values({ ...settings, ...made, id, disabledTime, sinceOrder: fromNowOn })
    .returning();
  return rows[0];
}

/** One webhook of a namespace, unless it was deleted. */
export async function selectWebhook(
  orm: PostgresJsDatabase,
  which: Pick<WebhookRow, 'namespace' | 'id'>,
): Promise<WebhookRow | undefined> {
  const rows = await orm.select().from(webhook).where(isIt(which));
  return rows[0];
}

/** The same, and until the end of the transaction nobody else changes it; deliveries are made for it meanwhile. */
export async function lockWebhook(
  orm: PostgresJsDatabase,
  which: Pick<WebhookRow, 'namespace' | 'id'>,
): Promise<WebhookRow | undefined> {
  const rows = await orm.select().from(webhook).where(isIt(which)).for('no key update');
  return rows[0];
}

/** All webhooks of a namespace, oldest first; their number is bounded. By index `webhook_namespace`. */
export function selectWebhooks(orm: PostgresJsDatabase, namespace: string): Promise<WebhookRow[]> {
  return orm
    .select()
    .from(webhook)
    .where(and(eq(webhook.namespace, namespace), isNull(webhook.deleteTime)))
    .orderBy(asc(webhook.id));
}

/** Replaces what people set of a webhook that the transaction has locked. One that was disabled begins anew. */
export async function updateLockedWebhook(
  orm: PostgresJsDatabase,
  locked: WebhookRow,
  { isDisabled, ...settings }: WebhookSettings,
  etag: string,
): Promise<WebhookRow> {
  const wasDisabled = locked.disabledTime !== null;
  const rows = await orm
    .update(webhook)
    .set({
      ...settings,
      etag,
      updateTime: fragment`now()`,
      // It was what another endpoint said, perhaps of events that the filter of now does not cover.
      ...{ lastFailureTime: null, lastFailure: '' },
      ...(isDisabled && !wasDisabled && { disabledTime: fragment`now()`, disabledReason: '' }),
      ...(!isDisabled && wasDisabled && { ...healthy, disabledTime: null, disabledReason: '', sinceOrder: fromNowOn }),
    })
    .where(eq(webhook.id, locked.id))
    .returning();
  return theOnly(rows);
}

const healthy = { failures: 0, failingTime: null, openings: 0, probeTime: null, probing: false };

export interface NextSecret {
  readonly secret: Uint8Array;
  /** How long the one of now is good as well; 0 ends all earlier ones at once. */
  readonly overlapMs: number;
  /** Earlier ones that are kept; beyond that the earliest goes. */
  readonly previousMax: number;
}

/**
 * Gives a webhook that the transaction has locked another secret. Earlier ones stay good until their overlap is over: who
 * repeats a rotation whose answer was lost does not end the only secret that receivers know.
 */
export async function rotateLockedSecret(
  orm: PostgresJsDatabase,
  locked: WebhookRow,
  { secret, overlapMs, previousMax }: NextSecret,
): Promise<WebhookRow> {
  const previousSecrets = fragment<WebhookRow['previousSecrets']>`jsonb_build_array(jsonb_build_object(
      'secret', encode(${webhook.secret}, 'base64'), 'expireTime', now() + ${overlapMs}::float8 * interval '1 millisecond'
    )) || COALESCE((
      SELECT jsonb_agg(earlier ORDER BY place) FROM jsonb_array_elements(${webhook.previousSecrets})
        WITH ORDINALITY AS kept(earlier, place)
      WHERE place < ${previousMax}::int AND (earlier->>'expireTime')::timestamptz > now()
    ), '[]')`;
  const rows = await orm
    .update(webhook)
    .set({ secret, previousSecrets: overlapMs > 0 ? previousSecrets : [] })
    .where(eq(webhook.id, locked.id))
    .returning();
  return theOnly(rows);
}

/** Hides a webhook that the transaction has locked, with its secrets gone; `sweep-webhooks.ts` removes it. */
export async function deleteLockedWebhook(orm: PostgresJsDatabase, locked: WebhookRow): Promise<void> {
  await orm
    .update(webhook)
    .set({ deleteTime: fragment`now()`, secret: new Uint8Array(), previousSecrets: [], secretHeaders: {} })
    .where(eq(webhook.id, locked.id));
}

/** A webhook that gets events: which ones, and from which stream order on. */
export type ListeningWebhook = Pick<WebhookRow, 'id' | 'namespace' | 'filter' | 'format' | 'sinceOrder' | 'etag'>;

/** The webhooks of namespaces that are not disabled; by index `webhook_namespace`. */
export function selectListeningWebhooks(sql: Sql, namespaces: readonly string[]): Promise<ListeningWebhook[]> {
  return sql<ListeningWebhook[]>`
    SELECT id, namespace, filter, format, since_order::text AS "sinceOrder", etag FROM webhook
    WHERE namespace = ANY(${namespaces}::text[]) AND disabled_time IS NULL AND delete_time IS NULL`;
}

/**
 * The end of the stream while no webhook gets anything; undefined when one does. One that is created, or enabled, by a
 * transaction that this statement does not see gets only events from its stream order on, which is not below this end.
 */
export async function selectEndUnlessListening(
  sql: Sql,
): Promise<{ readonly order: string; readonly timeMs: number } | undefined> {
  const rows = await sql<{ order: string; time_ms: number }[]>`
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS order, extract(epoch FROM now())::float8 * 1000 AS time_ms
    WHERE NOT EXISTS (SELECT FROM webhook WHERE disabled_time IS NULL AND delete_time IS NULL)`;
  return rows[0] && { order: rows[0].order, timeMs: rows[0].time_ms };
}

function isIt(which: Pick<WebhookRow, 'namespace' | 'id'>) {
  return and(eq(webhook.id, which.id), eq(webhook.namespace, which.namespace), isNull(webhook.deleteTime));
}

function theOnly(rows: readonly WebhookRow[]): WebhookRow {
  const [row] = rows;
  if (row === undefined) throw new Error('a locked webhook is gone');
  return row;
}
