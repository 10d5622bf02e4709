import type { Random } from './random.ts';

/** What is to become of a task; its input. */
export interface Plan {
  readonly type: PlanType;
  /** How long its handler takes. */
  readonly ms: number;
  /** Attempts that fail before one succeeds. */
  readonly failures: number;
}

export const planTypes = ['storm.quick', 'storm.slow', 'storm.flaky', 'storm.broken', 'storm.haunted'] as const;
export type PlanType = (typeof planTypes)[number];

/** Of haunted tasks, which a zombie holds for longer than this. */
export const hauntedRunMs = 1_500;

const mixture: readonly PlanType[] = [
  ...Array.from({ length: 12 }, () => 'storm.quick' as const),
  ...Array.from({ length: 3 }, () => 'storm.slow' as const),
  'storm.flaky',
  'storm.flaky',
  'storm.broken',
  'storm.haunted',
  'storm.haunted',
];

export function drawPlan(random: Random): Plan {
  const type = random.pick(mixture);
  switch (type) {
    case 'storm.quick':
    case 'storm.broken':
      return { type, ms: random.between(0, 20), failures: 0 };
    case 'storm.slow':
      return { type, ms: random.between(300, 4_000), failures: 0 };
    case 'storm.flaky':
      return { type, ms: random.between(0, 20), failures: random.pick([1, 2]) };
    case 'storm.haunted':
      return { type, ms: random.between(500, 1_000), failures: 0 };
  }
}

export function endOf(type: PlanType): 'SUCCEEDED' | 'FAILED' {
  return type === 'storm.broken' ? 'FAILED' : 'SUCCEEDED';
}

/** What a handler returns: under which lease it ran. A session does not hold one attempt twice. */
export interface Stamp {
  readonly taskId: string;
  readonly sessionId: string;
  readonly attempt: number;
  readonly by: string;
}
