import type { PlanType } from './plan.ts';

/**
 * The events that the webhook of a storm is to get: ends of every kind, of types that come at some fifteen a second
 * whatever the load is. All events together would be thousands, and would put the receiver to the test.
 */
export const hookTypes: readonly PlanType[] = ['storm.slow', 'storm.broken', 'storm.fused'];
export const hookKinds = ['succeeded', 'failed', 'cancelled'] as const;
export const hookFilter = { types: hookKinds.map((kind) => `dstc.task.${kind}.v1`), taskTypes: hookTypes };

/** What the receiver did with a request. */
export const hookAnswers = [
  'taken',
  /** Its signature was not right. */
  'refused with 401',
  'refused with 500',
  'refused with 429',
  /** The connection, after the request had been read. */
  'cut',
  /** It would have been taken, after longer than a coordinator waits. */
  'too late',
  /** The coordinator went, or the receiver did, before it was answered. */
  'left',
] as const;
export type HookAnswer = (typeof hookAnswers)[number];

export interface HookRequest {
  readonly id: string;
  readonly body: string;
  readonly atMs: number;
  /** What is wrong with its signature; empty when nothing is. */
  readonly wrong: string;
  /** A rotation of the secret was under way, and nobody can know whether it is wrong. */
  readonly isForeseen: boolean;
  readonly signatures: number;
  readonly answer: HookAnswer;
  readonly answeredMs: number;
  /** As it was answered; 0 when it was not. */
  readonly retryAfterMs: number;
}
