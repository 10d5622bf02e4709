import type { DeadlineOptions, RetryOptions } from './policies.ts';

export interface SubmitOptions {
  /**
   * Submissions with one key are one task. Left out: a random one, which makes a retry after a lost answer safe but
   * knows nothing of a submission by another process.
   */
  readonly idempotencyKey?: string | undefined;
  /** 0 to 9; higher goes first. Default: the task type's. */
  readonly priority?: number | undefined;
  /** Not started before this much time has passed. Not together with `availableTime`. */
  readonly delayMs?: number | undefined;
  readonly availableTime?: Date | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Takes the place of the task type's policy. */
  readonly retry?: RetryOptions | undefined;
  /** Each one set takes the place of the task type's. */
  readonly deadlines?: DeadlineOptions | undefined;
  /** Tasks that come first, at most 1,000: it is BLOCKED until each has ended as its policy allows. */
  readonly dependsOn?: readonly DependsOn[] | undefined;
}

/** One task of a batch. */
export interface Submission extends SubmitOptions {
  readonly type: string;
  /** A JSON value or a BinaryPayload. */
  readonly input?: unknown;
}

/**
 * What becomes of a task when one that it depends on FAILED or was CANCELLED: it is cancelled, too; it goes on as if
 * that had succeeded; or it stays blocked until that is redriven and succeeds, or is skipped.
 */
export type OnFailure = 'cancel' | 'continue' | 'block';

/** A task, by its id or as its handle; or another submission of the same `submitMany`, which is the very same object. */
export type DependencyTarget = string | { readonly id: string } | Submission;

/** A task that comes first; with a policy other than `cancel`, said in so many words. */
export type DependsOn =
  | DependencyTarget
  | { readonly on: DependencyTarget; readonly onFailure?: OnFailure | undefined };
