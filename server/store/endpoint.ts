import type { Sql } from './database.ts';
import type { WebhookRow } from './webhooks.ts';

/** Where and how requests of a webhook are sent. */
export interface Endpoint
  extends Pick<WebhookRow, 'id' | 'namespace' | 'url' | 'headers' | 'secretHeaders' | 'format' | 'secret'> {
  /** Those of before that requests are signed with, too, the latest first. */
  readonly previousSecrets: readonly Uint8Array[];
  /** When it was read, on the clock of Postgres: that of a node may be wrong, and receivers compare it with theirs. */
  readonly readMs: number;
}

export interface EndpointRow {
  id: string;
  namespace: string;
  url: string;
  headers: Endpoint['headers'];
  secret_headers: Endpoint['secretHeaders'];
  format: Endpoint['format'];
  secret: Uint8Array;
  /** In base64. */
  previous_secrets: readonly string[];
  read_ms: number;
}

/** What an endpoint is made of, in SQL. */
export function endpointColumns(sql: Sql) {
  return sql`webhook.id, webhook.namespace, url, headers, secret_headers, format, secret,
    COALESCE((
      SELECT jsonb_agg(earlier->>'secret' ORDER BY place)
      FROM jsonb_array_elements(previous_secrets) WITH ORDINALITY AS kept(earlier, place)
      WHERE (earlier->>'expireTime')::timestamptz > now()
    ), '[]') AS previous_secrets,
    extract(epoch FROM now())::float8 * 1000 AS read_ms`;
}

export function endpointOf(row: EndpointRow): Endpoint {
  const { id, namespace, url, headers, format, secret } = row;
  const { secret_headers: secretHeaders, read_ms: readMs } = row;
  const previousSecrets = row.previous_secrets.map((text) => Buffer.from(text, 'base64'));
  return { id, namespace, url, headers, secretHeaders, format, secret, previousSecrets, readMs };
}

/** The endpoint of a webhook, unless it was deleted; by primary key. */
export async function selectEndpoint(sql: Sql, id: string): Promise<Endpoint | undefined> {
  const rows = await sql<EndpointRow[]>`
    SELECT ${endpointColumns(sql)} FROM webhook WHERE id = ${id}::uuid AND delete_time IS NULL`;
  return rows[0] && endpointOf(rows[0]);
}
