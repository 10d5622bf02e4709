import type { Random } from './random.ts';

/** What is to become of a task; its input. */
export interface Plan {
  readonly type: PlanType;
  /** How long its handler takes. */
  readonly ms: number;
  /** Attempts that fail before one succeeds. */
  readonly failures: number;
  /** It must not begin before; counted from its submission. */
  readonly delayMs: number;
  /** Its producer cancels it this long after it was told of it; null is never. */
  readonly cancelMs: number | null;
  /** Of limited ones: what limits count by. */
  readonly key?: string;
  /** Of fused ones: that it fails fatally. */
  readonly isFatal?: boolean;
}

export const planTypes = [
  'storm.quick',
  'storm.slow',
  'storm.long',
  'storm.flaky',
  'storm.broken',
  'storm.haunted',
  'storm.unary',
  'storm.guest',
  'storm.limited',
  'storm.steered',
  'storm.fused',
] as const;
export type PlanType = (typeof planTypes)[number];

/** Of haunted tasks, which a zombie holds for longer than this. */
export const hauntedRunMs = 1_500;

/** What of two types may run at a time, and be leased in a time: little, so that some waits after every fault. */
export const concurrency = { concurrencyMax: 4, concurrencyPerKeyMax: 2 };
export const rate = { tasks: 6, burst: 2 };

/** Tasks a second that are more than quick, whatever the load: they keep workers busy for a time, not for a share. */
const specialsPerSecond = 55;
const specialShareMax = 0.6;

const specials: readonly PlanType[] = [
  ...Array.from({ length: 10 }, () => 'storm.slow' as const),
  'storm.long',
  ...Array.from({ length: 5 }, () => 'storm.flaky' as const),
  ...Array.from({ length: 2 }, () => 'storm.broken' as const),
  ...Array.from({ length: 5 }, () => 'storm.haunted' as const),
  ...Array.from({ length: 7 }, () => 'storm.unary' as const),
  ...Array.from({ length: 15 }, () => 'storm.guest' as const),
  ...Array.from({ length: 4 }, () => 'storm.limited' as const),
  ...Array.from({ length: 3 }, () => 'storm.steered' as const),
  ...Array.from({ length: 3 }, () => 'storm.fused' as const),
];

export function quickPlan(random: Random): Plan {
  return { type: 'storm.quick', ms: random.between(0, 20), failures: 0, delayMs: 0, cancelMs: null };
}

/** `rate` is of the tasks of all submitters together, a second. */
export function drawPlan(random: Random, rate: number): Plan {
  const isSpecial = random.next() < Math.min(specialShareMax, specialsPerSecond / rate);
  const plan = { ...quickPlan(random), type: isSpecial ? random.pick(specials) : ('storm.quick' as const) };
  switch (plan.type) {
    case 'storm.quick':
      if (random.next() < 0.02) return { ...plan, delayMs: Math.round(random.between(200, 5_000)) };
      return random.next() < 0.02 ? { ...plan, delayMs: 3_000, cancelMs: random.between(0, 2_000) } : plan;
    case 'storm.slow':
      return {
        ...plan,
        ms: random.between(300, 4_000),
        cancelMs: random.next() < 0.3 ? random.between(0, 3_000) : null,
      };
    case 'storm.long':
      return {
        ...plan,
        ms: random.between(11_000, 16_000),
        cancelMs: random.next() < 0.2 ? random.between(0, 9_000) : null,
      };
    case 'storm.flaky':
      return { ...plan, failures: random.pick([1, 2]) };
    case 'storm.haunted':
      return { ...plan, ms: random.between(500, 1_000) };
    case 'storm.unary':
      return { ...plan, ms: random.between(0, 300) };
    case 'storm.limited':
      return { ...plan, ms: random.between(100, 600), key: random.pick(['a', 'b', 'c', 'd', 'e']) };
    case 'storm.fused':
      return { ...plan, isFatal: random.next() < 0.1 };
    case 'storm.broken':
    case 'storm.guest':
    case 'storm.steered':
      return plan;
  }
}

/** How it ends when nothing keeps it from doing so: a state, with the code of a failure. */
export function endOf({ type, isFatal = false }: Plan): string {
  if (type === 'storm.broken') return 'FAILED BROKEN';
  return isFatal ? 'FAILED BLOWN' : 'SUCCEEDED';
}

/** What a handler returns: under which lease it ran. A session does not hold one attempt twice. */
export interface Stamp {
  readonly taskId: string;
  readonly sessionId: string;
  readonly attempt: number;
  readonly by: string;
  /** When the handler began, and when it was done, on the clock of the machine. */
  readonly beganMs: number;
  readonly endedMs: number;
  /** Of haunted tasks: the checkpoint that it began with, empty without one. */
  readonly found?: string;
}

/** What a worker says of a lease that it knows to be lost: it must stand nowhere. */
export const staleMark = 'said too late';
