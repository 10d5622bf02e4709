import type { JWK } from 'jose';
import type { Sighting } from '../setup/read-stream.ts';
import type { HookRequest } from './hook.ts';
import type { PlanType } from './plan.ts';
import { type Stall, watchStarvation } from './starvation.ts';

/** Where a coordinator is reached, without a proxy between. */
export interface NodeAddress {
  readonly name: string;
  readonly grpc: string;
  readonly http: string;
  /** Its clock is right: what it says of the ends of tokens can be held against ours. */
  readonly hasRightClock: boolean;
}

/** What the processes of a storm are told when they start. */
export interface Settings {
  readonly name: string;
  readonly seed: number;
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Of the coordinators, through proxies. */
  readonly addresses: readonly string[];
  readonly nodes: readonly NodeAddress[];
  /** PEM, of the coordinators. */
  readonly ca: string;
  /** Undefined where there is no NATS. */
  readonly natsUrl: string | undefined;
  /** For guests, whose tokens end sooner than any that is issued. */
  readonly signingKey: JWK;
  /** Where the receiver of webhooks listens. */
  readonly hookPort: number;
}

/** What the operator is told while it runs: to hold work up and let go of it, until it is to stop. */
export type Steering = { readonly kind: 'steer' } | { readonly kind: 'stop' };

/** What the receiver of webhooks is told: how to behave, and to have everything sent in the end that waits. */
export type Conduct = { readonly kind: 'misbehave' } | { readonly kind: 'behave' } | { readonly kind: 'repair' };

/** What submitters are told while they run. */
export type Order =
  /** Tasks a second: of this submitter, and of all of them together. */
  | { readonly kind: 'rate'; readonly rate: number; readonly rateOfAll: number }
  /** As fast as they are answered. */
  | { readonly kind: 'burst' }
  | { readonly kind: 'stop' };

/** What they tell. */
export type Message =
  | ({ readonly kind: 'sent'; readonly key: string } & Sent)
  | { readonly kind: 'acknowledged'; readonly key: string; readonly id: string; readonly existed: boolean }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'cancelling'; readonly key: string }
  /** A key was sent again with another request. */
  | { readonly kind: 'conflict'; readonly key: string; readonly answer: string }
  /** A unary call with a deadline, to a coordinator without a proxy between. */
  | { readonly kind: 'call'; readonly call: Call }
  /** A worker's session, on the coordinator of an address. */
  | { readonly kind: 'session'; readonly sessionId: string; readonly address: string }
  /** A handler was told to stop because of a cancel. */
  | { readonly kind: 'told'; readonly taskId: string; readonly atMs: number }
  /** What a zombie's late report came to. */
  | { readonly kind: 'settled'; readonly report: string; readonly outcome: string; readonly taskId: string }
  /** A zombie told of its progress on leases that may be lost by then. */
  | { readonly kind: 'boasted'; readonly leases: readonly BoastedLease[]; readonly atMs: number }
  /** What a report on a lease of another session came to. */
  | { readonly kind: 'foreign'; readonly outcome: string; readonly taskId: string }
  /** A guest was given a task. */
  | { readonly kind: 'served'; readonly node: string; readonly atMs: number }
  | { readonly kind: 'visit'; readonly visit: Visit }
  /** Work was held up. */
  | { readonly kind: 'held'; readonly hold: Hold }
  /** Events in the order in which the stream has them; a stream that is made anew has another life. */
  | { readonly kind: 'seen on the stream'; readonly life: string; readonly events: readonly Sighting[] }
  | { readonly kind: 'seen by subscription'; readonly events: readonly Sighting[] }
  /** A request of a webhook has come and was dealt with. */
  | { readonly kind: 'hooked'; readonly request: HookRequest }
  | { readonly kind: 'hook was away' }
  | { readonly kind: 'hook rotated' }
  | { readonly kind: 'hook repaired'; readonly replayed: number }
  | { readonly kind: 'stall'; readonly stall: Stall }
  /** A submitter or the operator hears orders from now on. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'done' };

/** What a task was asked to be. */
export interface Sent {
  readonly type: PlanType;
  readonly delayMs: number;
  /** As in `endOf`. */
  readonly end: string;
  /** Keys of tasks that must have ended before. */
  readonly after: readonly string[];
}

export interface Call {
  readonly method: string;
  readonly node: string;
  readonly atMs: number;
  readonly ms: number;
  readonly deadlineMs: number;
  readonly code: string;
}

/** A time in which nothing may have been leased. */
export interface Hold {
  readonly how: 'pause of the type' | 'pause of the namespace' | 'circuit forced open' | 'circuit opened by a failure';
  /** Empty is every type. */
  readonly type: PlanType | '';
  /** After the answer that said so. */
  readonly fromMs: number;
  /** Before anything was asked that lets work go on. */
  readonly toMs: number;
}

export interface BoastedLease {
  readonly taskId: string;
  readonly leaseId: string;
}

/** A guest's stream, from its Welcome to its end. */
export interface Visit {
  readonly node: string;
  /** Fresh tokens that were taken. */
  readonly renewals: number;
  readonly expiresAtMs: number;
  readonly lastServedMs: number;
  readonly lastPingMs: number;
  readonly endedAtMs: number;
  /** `OK`, or a code with its reason; `left` when the guest itself went. */
  readonly end: string;
}

export function settings(): Settings {
  return JSON.parse(process.argv[2] ?? '{}') as Settings;
}

const gatherMs = 20;
let untold: Message[] = [];

/** Says it soon, and with others: there are thousands a second. */
export function tell(message: Message): void {
  if (untold.push(message) === 1) setTimeout(tellAll, gatherMs);
}

/** Says at once what is left to say. */
export function tellAll(): void {
  if (untold.length > 0 && process.connected) process.send?.(untold);
  untold = [];
}

/** What every process of a storm does: without the storm nobody would end it. */
export function joinStorm(): void {
  // grpc-js names the server it connects to, which here has an address only.
  process.noDeprecation = true;
  watchStarvation((stall) => tell({ kind: 'stall', stall }));
  process.once('disconnect', () => process.exit(1));
}
