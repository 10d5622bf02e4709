import type { Property, Violation } from './property.ts';
import type { StormRecord } from './record.ts';

const ways = ['succeeded', 'failed', 'released', 'cancelAcknowledged'];

/** Reports on leases that were lost, or were never the reporter's. */
export function checkReports({ settlements, foreign }: StormRecord): Property[] {
  const violations: Violation[] = [];
  for (const [what, count] of settlements) {
    if (what.startsWith('told ') && !what.endsWith(' LEASE_LOST'))
      violations.push({ text: `${what} (${count} times)` });
  }
  const refused = (way: string) =>
    (settlements.get(`told ${way} LEASE_LOST`) ?? 0) + (settlements.get(`${way} LEASE_LOST`) ?? 0);
  const strange = [...foreign].filter(([outcome]) => !/^(LEASE_LOST|REFUSED TASK_NOT_FOUND)$/.test(outcome));
  return [
    {
      name: 'stale reports of every kind are refused',
      violations,
      samples: Math.min(...ways.map(refused)),
      samplesMin: 1,
      figure: ways.map((way) => `${way} ${refused(way)}`).join(', '),
    },
    {
      name: 'nobody reports on the lease of another session',
      violations: strange.map(([outcome, count]) => ({ text: `${outcome} (${count} times)` })),
      samples: [...foreign.values()].reduce((sum, count) => sum + count, 0),
      samplesMin: 1,
    },
  ];
}
