import type { PlanType } from './plan.ts';

/** What the processes of a storm are told when they start. */
export interface Settings {
  readonly name: string;
  readonly seed: number;
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Of the coordinators, through proxies. */
  readonly addresses: readonly string[];
  /** Of this one submitter, a second. */
  readonly rate: number;
}

/** What they tell. */
export type Message =
  | { readonly kind: 'sent'; readonly key: string; readonly type: PlanType }
  | { readonly kind: 'acknowledged'; readonly key: string; readonly id: string; readonly existed: boolean }
  | { readonly kind: 'refused'; readonly why: string }
  /** A worker's session. */
  | { readonly kind: 'session'; readonly sessionId: string }
  /** What a zombie's late report came to. */
  | { readonly kind: 'settled'; readonly outcome: string }
  | { readonly kind: 'done' };

export function settings(): Settings {
  return JSON.parse(process.argv[2] ?? '{}') as Settings;
}

export function tell(message: Message): void {
  process.send?.(message);
}

/** Without the storm nobody would end this process. */
export function endWithStorm(): void {
  process.once('disconnect', () => process.exit(1));
}
