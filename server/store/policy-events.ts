import type { Sql } from './database.ts';
import { insertSystemEvents, systemSubjectId } from './insert-system-events.ts';

/** A policy that a node has taken. */
export interface TakenPolicy {
  readonly node: string;
  /** SHA-256 of the file. */
  readonly digest: string;
}

const kind = 'policy.changed';
const subject = 'policy';

/** Any number that nobody else uses. The policy has no row of its own that could be locked. */
const policyLock = 4_207_423;

/** Has whoever records a policy wait for this transaction to end. */
export async function lockPolicyEvents(sql: Sql): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(${policyLock})`;
}

/**
 * The digest that a node recorded last, or else that anybody did; undefined when nobody has. By index
 * `system_event_subject`: there are as many as the policy had versions on nodes within the time that history is kept.
 */
export async function selectLastPolicyDigest(sql: Sql, node: string): Promise<string | undefined> {
  const policy = { kind: sql`${kind}::text`, namespace: sql`''`, subject: sql`${subject}::text` };
  const [row] = await sql<{ digest: string }[]>`
    SELECT data->>'digest' AS digest FROM system_event WHERE subject_id = ${systemSubjectId(sql, policy)}
    ORDER BY data->>'node' = ${node} DESC, sequence DESC LIMIT 1`;
  return row?.digest;
}

/** Records that a node has taken a policy, in a transaction that has the lock. */
export async function insertPolicyEvent(sql: Sql, taken: TakenPolicy): Promise<void> {
  await insertSystemEvents(sql, [{ kind, namespace: '', subject, actor: 'system:policy', data: { ...taken } }]);
}
