import { LRUCache } from 'lru-cache';

const failuresMax = 5;
const windowMs = 60_000;
const addressesMax = 1_000;

/** Counts wrong passwords by address, so that nobody can try many. */
export interface LoginAttempts {
  isBlocked(address: string): boolean;
  failed(address: string): void;
}

export function loginAttempts(): LoginAttempts {
  const failures = new LRUCache<string, number>({ max: addressesMax, ttl: windowMs });
  return {
    isBlocked: (address) => (failures.get(address) ?? 0) >= failuresMax,
    // The window starts with the first failure: trying on does not lengthen it.
    failed: (address) =>
      failures.set(address, (failures.get(address) ?? 0) + 1, { ttl: failures.getRemainingTTL(address) || windowMs }),
  };
}
