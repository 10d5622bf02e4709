import { DstcError } from '../domain/errors.ts';
import { limits } from '../domain/limits.ts';

/** How many streams of events the node serves, which is bounded. */
export interface Subscribers {
  readonly count: () => number;
  /** Throws OVERLOADED when there is no room. */
  readonly enter: () => { readonly leave: () => void };
}

export function createSubscribers(max: number = limits.subscribersMax): Subscribers {
  let count = 0;
  return {
    count: () => count,
    enter() {
      if (count >= max) {
        throw new DstcError('OVERLOADED', 'this node serves as many streams of events as it can; try another one', {
          metadata: { limit: String(max) },
          retryDelayMs: 1_000,
        });
      }
      count += 1;
      return {
        leave() {
          count -= 1;
        },
      };
    },
  };
}
