import { limits } from '../../server/domain/limits.ts';
import type { Random } from './random.ts';

/** How a request is dealt with. */
export type Manner =
  | { readonly kind: 'take'; readonly afterMs: number }
  | { readonly kind: 'refuse'; readonly status: 401 | 500 }
  | { readonly kind: 'refuse'; readonly status: 429; readonly retryAfterMs: number }
  | { readonly kind: 'cut' };

/** A coordinator that sends so little holds back, and tries the endpoint with one request. */
const silenceMs = 5_000;

/** How a receiver misbehaves, one request after the other. */
export function createManners(random: Random): (nowMs: number) => Manner {
  let lastMs = Number.NEGATIVE_INFINITY;
  let wasRefused = false;
  let left: Draw[] = [];

  return (nowMs) => {
    const isAlone = nowMs - lastMs > silenceMs;
    lastMs = nowMs;
    if (isAlone) {
      // Not twice in a row: a circuit would be open for longer than the storm goes on.
      wasRefused = !wasRefused && random.next() < 0.3;
      return wasRefused ? { kind: 'refuse', status: 500 } : { kind: 'take', afterMs: 0 };
    }
    if (left.length === 0) left = random.shuffled(turns);
    return left.pop()?.(random) ?? { kind: 'take', afterMs: 0 };
  };
}

type Draw = (random: Random) => Manner;

const take = (msMin: number, msMax: number): Draw => {
  return (random) => ({ kind: 'take', afterMs: random.between(msMin, msMax) });
};
const patienceMs = limits.webhookDeliveryMsMax;

/**
 * Each of them comes once before any comes again, so that even a short storm has all. Few enough fail that five in a row,
 * which open a circuit, are rare: that is left to the times when the receiver is away.
 */
const turns: readonly Draw[] = [
  take(patienceMs + 500, patienceMs + 2_500),
  ...Array.from({ length: 7 }, () => take(500, 6_000)),
  ...Array.from({ length: 4 }, (): Draw => () => ({ kind: 'refuse', status: 500 })),
  ...Array.from(
    { length: 3 },
    (): Draw => (random) => {
      return { kind: 'refuse', status: 429, retryAfterMs: 1_000 * Math.ceil(random.between(0.1, 5)) };
    },
  ),
  ...Array.from({ length: 3 }, (): Draw => () => ({ kind: 'cut' })),
  ...Array.from({ length: 42 }, () => take(0, 20)),
];
