import { passing } from './check-tasks.ts';
import type { Property } from './property.ts';
import { callGraceMs, type StormRecord, starvedMs } from './record.ts';

/**
 * A process that was stopped goes on with what it had before, and one that starts has everything still to learn: for so
 * long, as far as it is given the processor.
 */
const afterglowMs = 3_000;

/** What refused and unanswered calls say. */
export function checkCalls(record: StormRecord): Property[] {
  return [deadlines(record), refusals(record)];
}

/** The clients waited on: it was the coordinators that answered in time, while their database was away. */
function deadlines(record: StormRecord): Property {
  const late = record.lateCalls.filter((call) => !isExcused(record, call));
  const overMs = late.map(({ ms, deadlineMs }) => Math.round(ms - deadlineMs));
  const violations = late.map(({ from, method, node, atMs, ms, deadlineMs, code }) => {
    const starved = Math.round(starvedMs(record, [from, node], atMs, atMs + ms));
    const answer = `was answered ${code} after ${Math.round(ms)} ms, with a deadline of ${deadlineMs} ms`;
    const text = `${method} of ${from} on ${node} at ${new Date(atMs).toISOString()} ${answer}; ${starved} ms starved`;
    return { text };
  });
  return {
    name: 'unary calls are answered by their deadline',
    violations,
    samples: record.calls.get('DEADLINE_EXCEEDED') ?? 0,
    samplesMin: 1,
    figure:
      late.length === 0 ? `none more than ${callGraceMs} ms after it` : `up to ${Math.max(...overMs)} ms after it`,
  };
}

function isExcused(record: StormRecord, call: StormRecord['lateCalls'][number]): boolean {
  const toMs = call.atMs + call.ms;
  const wasHit = record.faults.some(({ target, fromMs, toMs: healedMs }) => {
    if ((target !== call.from && target !== call.node) || fromMs > toMs) return false;
    return healedMs + afterglowMs + starvedMs(record, [target], healedMs, call.atMs) >= call.atMs;
  });
  const overMs = call.ms - call.deadlineMs - callGraceMs;
  return wasHit || overMs <= starvedMs(record, [call.from, call.node], call.atMs, toMs);
}

function refusals({ refusals: counts }: StormRecord): Property {
  const violations = [...counts]
    .filter(([why]) => !passing.test(why))
    .map(([why, count]) => ({ text: `${why} (${count} times)` }));
  const samples = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const figure = [...counts].map(([why, count]) => `${why} ${count}`).join(', ');
  return { name: 'refused calls say to try again', violations, samples, samplesMin: 1, figure };
}
