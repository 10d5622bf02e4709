import type { Database } from '../store/database.ts';
import { insertPolicyEvent, lockPolicyEvents, selectLastPolicyDigest } from '../store/policy-events.ts';
import type { Wake } from './wake.ts';

/**
 * Writes into the history which policy decides on this node. Each node says so for itself: one that has not got the new
 * file yet decides by the old one. A node that starts with what it, or a node before it, has already recorded says nothing.
 */
export interface PolicyRecord {
  /** What decides from now on, as the digest of its file; written with the next turn. */
  readonly took: (digest: string) => void;
  /** Writes what was taken; what could not be written stays for the turn after it. */
  readonly turn: () => Promise<void>;
}

export interface PolicyRecordDeps {
  readonly database: Database;
  readonly wake: Wake;
  readonly node: string;
}

/** Such a number of changes waits when Postgres is away for long; of more, the oldest are forgotten. */
const waitingMax = 100;

export function createPolicyRecord({ database, wake, node }: PolicyRecordDeps): PolicyRecord {
  const waiting: string[] = [];
  let latest: string | undefined;
  let hasStarted = false;

  async function write(digest: string): Promise<void> {
    const isNews = await database.transaction(async (sql) => {
      await lockPolicyEvents(sql);
      if (!hasStarted && (await selectLastPolicyDigest(sql, node)) === digest) return false;
      await insertPolicyEvent(sql, { node, digest });
      return true;
    });
    hasStarted = true;
    if (isNews) wake.eventsWritten.give(undefined);
  }

  return {
    took(digest) {
      if (digest === latest) return;
      latest = digest;
      waiting.push(digest);
      if (waiting.length > waitingMax) waiting.shift();
    },

    async turn() {
      for (let digest = waiting.shift(); digest !== undefined; digest = waiting.shift()) {
        try {
          await write(digest);
        } catch (error) {
          waiting.unshift(digest);
          throw error;
        }
      }
    },
  };
}
