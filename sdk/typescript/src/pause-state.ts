import type { Pause as ContractPause } from '@dstc/contract/dstc/v1/pause_pb';
import { dateOf } from './task.ts';

/** Who has stopped the leasing, when and why. */
export interface Pause {
  readonly time: Date | undefined;
  readonly actor: string;
  readonly reason: string;
}

export interface PauseOptions {
  /** For those who wonder why nothing runs, and for the log. */
  readonly reason?: string | undefined;
}

export function pauseOf(pause: ContractPause | undefined): Pause | undefined {
  return pause && { time: dateOf(pause.time), actor: pause.actor, reason: pause.reason };
}
