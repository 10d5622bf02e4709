import { LRUCache } from 'lru-cache';
import type { Adapter, AdapterFactory, AdapterPayload } from 'oidc-provider';

const entriesMax = 10_000;

/**
 * Keeps what `oidc-provider` stores (sessions, device codes, refresh tokens) in memory, bounded: a restart signs people
 * out, and clients with a secret do not notice.
 */
export function identityStore(): AdapterFactory {
  // Each kind has its own bound, so that a flood of one does not push out the others.
  return (kind) => storeOf(kind);
}

function storeOf(kind: string): Adapter {
  const entries = new LRUCache<string, AdapterPayload>({ max: entriesMax });
  // Uids and user codes are as short-lived as what they lead to.
  const idOf = new LRUCache<string, string>({ max: entriesMax });
  const find = async (id: string | undefined) => (id === undefined ? undefined : entries.get(id));
  return {
    async upsert(id, payload, expiresIn) {
      const lifetime = expiresIn === undefined ? {} : { ttl: expiresIn * 1_000 };
      entries.set(id, payload, lifetime);
      if (kind === 'Session' && payload.uid !== undefined) idOf.set(`uid ${payload.uid}`, id, lifetime);
      if (payload.userCode !== undefined) idOf.set(`code ${payload.userCode}`, id, lifetime);
    },
    find,
    findByUid: (uid) => find(idOf.get(`uid ${uid}`)),
    findByUserCode: (code) => find(idOf.get(`code ${code}`)),
    async consume(id) {
      const found = entries.get(id);
      if (found !== undefined) found.consumed = Math.floor(Date.now() / 1_000);
    },
    async destroy(id) {
      entries.delete(id);
    },
    async revokeByGrantId(grantId) {
      for (const [id, payload] of entries.entries()) if (payload.grantId === grantId) entries.delete(id);
    },
  };
}
