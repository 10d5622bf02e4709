import type { Database } from '../../server/store/database.ts';

/** The real database, whose next write can be stopped right before its commit. */
export interface HoldableDatabase extends Database {
  readonly hold: () => Hold;
}

export interface Hold {
  /** Resolves when everything is written and only the commit is missing. */
  readonly reached: Promise<void>;
  readonly release: () => void;
}

export function holdable(real: Database): HoldableDatabase {
  let next: { readonly reached: () => void; readonly released: Promise<void> } | undefined;

  const write: Database['transaction'] = (call) => {
    const held = next;
    next = undefined;
    if (held === undefined) return real.transaction(call);
    return real.transaction(async (sql, orm) => {
      const result = await call(sql, orm);
      held.reached();
      await held.released;
      return result;
    });
  };

  return {
    ...real,
    run: (call, limit) => (next === undefined ? real.run(call, limit) : write(call)),
    transaction: write,
    hold() {
      const reached = Promise.withResolvers<void>();
      const released = Promise.withResolvers<void>();
      next = { reached: reached.resolve, released: released.promise };
      return { reached: reached.promise, release: released.resolve };
    },
  };
}
