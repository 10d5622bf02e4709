import type { Database } from '../../server/store/database.ts';

/** The real database, whose next write can be stopped right before its commit. */
export interface HoldableDatabase extends Database {
  readonly hold: () => Hold;
}

export interface Hold {
  /** Resolves when everything is written and only the commit is missing. */
  readonly reached: Promise<void>;
  readonly release: () => void;
  /** Rolls back with this error instead. */
  readonly fail: (error: unknown) => void;
}

export function holdable(real: Database): HoldableDatabase {
  let next: { readonly reached: () => void; readonly released: Promise<void> } | undefined;

  /** Where the next write stops with its result; undefined when it does not. */
  function stopping(): (<Result>(result: Result) => Promise<Result>) | undefined {
    const held = next;
    next = undefined;
    if (held === undefined) return undefined;
    return async (result) => {
      held.reached();
      await held.released;
      return result;
    };
  }

  const write: Database['transaction'] = (call) => {
    const stop = stopping();
    return real.transaction(stop === undefined ? call : (sql, orm) => call(sql, orm).then(stop));
  };

  const shortWrite: Database['shortTransaction'] = (call) => {
    const stop = stopping();
    if (stop === undefined) return real.shortTransaction(call);
    // Its last statement goes without the commit, which then comes behind the stop.
    return real.shortTransaction((sql, { first }) => call(sql, { first, last: (statement) => statement() }).then(stop));
  };

  return {
    ...real,
    run: (call, limit) => (next === undefined ? real.run(call, limit) : write(call)),
    transaction: write,
    shortTransaction: shortWrite,
    hold() {
      const reached = Promise.withResolvers<void>();
      const released = Promise.withResolvers<void>();
      next = { reached: reached.resolve, released: released.promise };
      return { reached: reached.promise, release: released.resolve, fail: released.reject };
    },
  };
}
