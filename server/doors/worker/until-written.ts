import { setTimeout as delay } from 'node:timers/promises';
import { DstcError } from '../../domain/errors.ts';

const waitMsMax = 2_000;

/** Runs a write again while Postgres is away or the node is full, until it is done or the signal aborts. */
export async function untilWritten<Result>(signal: AbortSignal, write: () => Promise<Result>): Promise<Result> {
  for (let waitMs = 100; ; waitMs = Math.min(waitMsMax, waitMs * 2)) {
    try {
      return await write();
    } catch (error) {
      const mayPass =
        error instanceof DstcError && (error.reason === 'DATABASE_UNAVAILABLE' || error.reason === 'OVERLOADED');
      if (!mayPass) throw error;
      await delay(waitMs * (0.5 + Math.random()), undefined, { signal, ref: false });
    }
  }
}
