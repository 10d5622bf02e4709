import type { ControlCommand } from '../../server/domain/control.ts';
import type { DependencyPolicy } from '../../server/domain/dependency.ts';
import type { Mode } from './circuits.ts';

/** A report names a lease of a task by its place among all that the task has had, perhaps with one part of it wrong. */
export interface LeaseRef {
  readonly task: string;
  /** From 0; -1 is a lease that nobody ever gave. */
  readonly lease: number;
  readonly disguise: Disguise;
}

export const disguises = ['none', 'other session', 'other attempt', 'other lease'] as const;
export type Disguise = (typeof disguises)[number];

/** What a worker said of the lease right before, so that it is written together with the end. */
export interface Before {
  readonly accepts: boolean;
  readonly percent: number | undefined;
}

export const deadlines = ['start', 'heartbeat', 'run', 'total', 'cancel'] as const;
export type Deadline = (typeof deadlines)[number];

export const failures = ['transient', 'permanent', 'fatal', 'code that is not retried'] as const;
export type Failure = (typeof failures)[number];

/** How a redriven task begins anew. */
interface Redrive {
  readonly delayed: boolean;
  readonly withInput: boolean;
}

/** Something that happens to the system: a call, a report, or time that passes. Tasks and sessions go by made-up names. */
export type Action =
  | {
      readonly kind: 'submit';
      readonly name: string;
      readonly type: string;
      readonly priority: number;
      readonly delayed: boolean;
      readonly key: string | undefined;
      readonly dependencies: readonly { readonly on: string; readonly policy: DependencyPolicy }[];
    }
  | { readonly kind: 'claim'; readonly session: string; readonly room: number }
  | { readonly kind: 'accept'; readonly ref: LeaseRef }
  | {
      readonly kind: 'progress';
      readonly ref: LeaseRef;
      readonly percent: number;
      readonly checkpoint: number | undefined;
    }
  | { readonly kind: 'succeed'; readonly ref: LeaseRef; readonly tooLarge: boolean; readonly before: Before }
  | {
      readonly kind: 'fail';
      readonly ref: LeaseRef;
      readonly failure: Failure;
      /** Asks for a wait that does not end by itself here. */
      readonly later: boolean;
      readonly before: Before;
    }
  | { readonly kind: 'release'; readonly ref: LeaseRef; readonly before: Before }
  | { readonly kind: 'acknowledge'; readonly ref: LeaseRef; readonly before: Before }
  | { readonly kind: 'undeliver'; readonly ref: LeaseRef }
  | { readonly kind: 'order'; readonly command: ControlCommand; readonly task: string; readonly redrive: Redrive }
  /** Of a type, or of all of them. */
  | { readonly kind: 'hold up' | 'let go'; readonly type: string | 'every type' }
  | { readonly kind: 'set circuit'; readonly type: string; readonly mode: Mode }
  /** The time of an open circuit is over; what a closed one has counted is too old. */
  | { readonly kind: 'let circuit be tried' | 'let window pass'; readonly type: string }
  | { readonly kind: 'open session'; readonly name: string }
  | { readonly kind: 'resume session'; readonly session: string; readonly secretIsRight: boolean }
  /** The worker names the leases that it thinks it holds. */
  | { readonly kind: 'reconcile'; readonly session: string; readonly held: readonly LeaseRef[] }
  | { readonly kind: 'let session expire'; readonly session: string }
  | { readonly kind: 'sweep sessions' }
  | { readonly kind: 'let deadline pass'; readonly task: string; readonly deadline: Deadline }
  | { readonly kind: 'sweep tasks' }
  | { readonly kind: 'let become due'; readonly task: string }
  | { readonly kind: 'let age'; readonly task: string }
  | { readonly kind: 'delete outlived' };

/** What it was answered, in words; the instants and ids of a run are left out. */
export type Answer = string | readonly string[];

/** What skips rows that somebody else has locked: after a race it comes again, as it does in production. */
export const comesAgain: readonly Action['kind'][] = ['sweep sessions', 'sweep tasks', 'delete outlived'];
