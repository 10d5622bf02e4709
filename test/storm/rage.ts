import { setTimeout as pause } from 'node:timers/promises';
import { type FaultDeps, type FaultKind, faultKindsOf, strikeOnce } from './faults.ts';
import { createRandom } from './random.ts';

export interface Rage {
  readonly seed: number;
  readonly minutes: number;
  /** Kinds that are to come before all others. */
  readonly first: readonly FaultKind[];
}

/** One fault every four to five seconds, each kind once before any comes again; resolves when all are made good. */
export async function rage(deps: FaultDeps, options: Rage): Promise<void> {
  const random = createRandom(options.seed);
  const startedMs = performance.now();
  const underWay = new Set<Promise<void>>();
  const faultKinds = faultKindsOf(deps.record);
  const first = options.first.filter((kind) => faultKinds.includes(kind));
  const rest = random.shuffled(faultKinds).filter((kind) => !first.includes(kind));
  let kinds: FaultKind[] = [...first, ...rest];
  while (performance.now() - startedMs < options.minutes * 60_000 && !deps.interrupted.aborted) {
    await pause(random.between(4_000, 5_000), undefined, { signal: deps.interrupted }).catch(() => undefined);
    if (kinds.length === 0) kinds = random.shuffled(faultKinds);
    // What has no target at the moment is put off, and when all that is left has none, the next round begins.
    const putOff: FaultKind[] = [];
    for (;;) {
      const kind = kinds.shift();
      if (kind === undefined) {
        kinds = random.shuffled(faultKinds);
        putOff.length = 0;
        break;
      }
      const suffering = strikeOnce(deps, random, kind);
      if (suffering === undefined) {
        putOff.push(kind);
        continue;
      }
      const { target } = deps.record.faults.at(-1) ?? {};
      console.log(`${clock(startedMs)}  ${new Date().toISOString().slice(11, 19)}  ${kind} (${target})`);
      const settled = suffering.finally(() => underWay.delete(settled));
      underWay.add(settled);
      break;
    }
    kinds.unshift(...putOff);
  }
  await Promise.all(underWay);
}

function clock(startedMs: number): string {
  return `${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(6)} s`;
}
