import { revocation } from './faults.ts';
import type { Property, Violation } from './property.ts';
import { type StormRecord, starvedMs } from './record.ts';

/** An open stream is there for this long after its token expired or its right was taken away, at most. */
const actsMsMax = 2_000;

/** Streams whose tokens end, are renewed, or lose their right. */
export function checkAccess(record: StormRecord): Property[] {
  return [expiries(record), renewals(record), revocations(record)];
}

function expiries(record: StormRecord): Property {
  const violations: Violation[] = [];
  const expired = record.visits.filter(({ end }) => end.startsWith('UNAUTHENTICATED'));
  let worstMs = 0;
  for (const visit of record.visits) {
    const { guest, node, expiresAtMs, endedAtMs, end } = visit;
    // Guests speak to their coordinator without a proxy between, so that what they see is what it does.
    const lateMs = endedAtMs - expiresAtMs;
    if (isExcused(record, node, expiresAtMs, endedAtMs)) continue;
    const starved = starvedMs(record, [node, guest], expiresAtMs, endedAtMs);
    if (lateMs > actsMsMax + starved)
      violations.push({ text: `${describe(visit)}, ${Math.round(starved)} ms starved` });
    else if (end.startsWith('UNAUTHENTICATED')) worstMs = Math.max(worstMs, lateMs);
  }
  const figure = `ended ${worstMs} ms later at most`;
  return { name: 'a token that expires ends its stream', violations, samples: expired.length, samplesMin: 3, figure };
}

function describe({ guest, node, end, expiresAtMs, ...times }: StormRecord['visits'][number]): string {
  const { endedAtMs, lastServedMs, lastPingMs, renewals: count } = times;
  const after = (atMs: number) => `${atMs - expiresAtMs} ms`;
  return `${node} kept the stream of ${guest} for ${after(endedAtMs)} after its token, the ${count + 1}th, had expired at ${new Date(expiresAtMs).toISOString()}; the last work came at ${after(lastServedMs)}, the last ping at ${after(lastPingMs)}; end: ${end}`;
}

function renewals(record: StormRecord): Property {
  const violations = record.visits
    .filter(({ end, renewals: count }) => count > 0 && end.startsWith('UNAUTHENTICATED'))
    .filter(({ expiresAtMs, endedAtMs }) => expiresAtMs - endedAtMs > 1_000)
    // What it was sent in time it may have read too late.
    .filter(({ guest, node, endedAtMs }) => starvedMs(record, [node, guest], endedAtMs - 6_000, endedAtMs) < 500)
    .filter(({ node, endedAtMs }) => !isExcused(record, node, endedAtMs, endedAtMs))
    .map(({ guest, node, end }) => ({ text: `${node} ended the stream of ${guest} with ${end}, with a fresh token` }));
  const samples = record.visits.reduce((sum, visit) => sum + visit.renewals, 0);
  return { name: 'a token that is renewed keeps its stream', violations, samples, samplesMin: 5 };
}

function revocations(record: StormRecord): Property {
  const violations: Violation[] = [];
  let samples = 0;
  let worstMs = 0;
  for (const { target, fromMs, healMs } of record.faults.filter(({ kind }) => kind === revocation)) {
    const served = record.served.filter(({ guest }) => guest === target);
    if (served.some(({ atMs }) => atMs > fromMs - 10_000 && atMs <= fromMs)) samples += 1;
    for (const { node, atMs } of served.filter((one) => one.atMs > fromMs && one.atMs < healMs)) {
      if (isExcused(record, node, fromMs, atMs)) continue;
      worstMs = Math.max(worstMs, atMs - fromMs);
      if (atMs - fromMs <= actsMsMax + starvedMs(record, [node, target], fromMs, atMs)) continue;
      violations.push({ text: `${node} gave ${target} work ${atMs - fromMs} ms after it lost the right` });
    }
  }
  const figure = `served ${worstMs} ms at most`;
  return { name: 'a right that is taken away ends the work', violations, samples, samplesMin: 1, figure };
}

/** A coordinator that is stopped looks at neither clock nor policy. */
function isExcused({ faults }: StormRecord, node: string, fromMs: number, toMs: number): boolean {
  return faults.some(
    (fault) =>
      fault.kind === 'pause a coordinator' &&
      fault.target === node &&
      fault.fromMs <= toMs &&
      fault.toMs + actsMsMax >= fromMs,
  );
}
