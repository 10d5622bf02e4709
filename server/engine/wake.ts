import type { Verdict } from '../domain/circuit.ts';

/**
 * The one thing that goes up: lossy hints that something happened. Whoever misses one finds out by polling, at most a
 * second later.
 */
export interface Wake {
  /** A type has a task that is due in this many milliseconds. */
  readonly taskDue: Hint<{ readonly namespace: string; readonly type: string; readonly inMs: number }>;
  /** Tasks have changed; whether these have ended. */
  readonly tasksChanged: Hint<{ readonly ids: readonly string[]; readonly ended: boolean }>;
  /** A lease was asked to stop. */
  readonly leaseCancelled: Hint<CancelHint>;
  /** Tasks that were held up, by a gate or a limit, may be leased again: of one type or of the whole namespace. */
  readonly gateOpened: Hint<{ readonly namespace: string; readonly type: string | undefined }>;
  /** An attempt has ended, in whichever way. */
  readonly attemptEnded: Hint<AttemptHint>;
  /** Tasks were leased to find out whether their type works again. */
  readonly probesLeased: Hint<{ readonly taskIds: readonly string[] }>;
  /** A task has ended that others depend on. */
  readonly dependencyEnded: Hint<undefined>;
  /** A lease was taken back from a worker that may still work on it. */
  readonly leaseLost: Hint<Omit<CancelHint, 'graceMs'>>;
  /** A worker was asked to stop. */
  readonly sessionDrained: Hint<DrainHint>;
  /** Of this type more is due, in so many milliseconds, than the sessions of this node have room for. */
  readonly workLeft: Hint<{ readonly namespace: string; readonly type: string; readonly inMs: number }>;
  /** Somebody waits for changes of tasks; said again for as long as that is so. */
  readonly tasksFollowed: Hint<undefined>;
  /** Events were committed. Whoever reads them gathers what comes within a moment. */
  readonly eventsWritten: Hint<undefined>;
}

export interface AttemptHint {
  readonly namespace: string;
  readonly type: string;
  readonly taskId: string;
  /** Undefined when the end says nothing of the type. */
  readonly verdict: Verdict | undefined;
}

export interface CancelHint {
  readonly sessionId: string;
  readonly taskId: string;
  readonly attempt: number;
  readonly leaseId: string;
  readonly reason: string;
  readonly graceMs: number;
}

export interface DrainHint {
  readonly sessionId: string;
  /** Changes each time that it is asked. */
  readonly time: string;
  readonly reason: string;
  /** What is left of its time; null is no end. */
  readonly leftMs: number | null;
}

export interface Hint<Value> {
  readonly give: (value: Value) => void;
  readonly listen: (listener: (value: Value) => void) => void;
}

export function createWake(): Wake {
  return {
    taskDue: createHint(),
    tasksChanged: createHint(),
    leaseCancelled: createHint(),
    gateOpened: createHint(),
    dependencyEnded: createHint(),
    leaseLost: createHint(),
    sessionDrained: createHint(),
    eventsWritten: createHint(),
    workLeft: createHint(),
    tasksFollowed: createHint(),
    attemptEnded: createHint(),
    probesLeased: createHint(),
  };
}

function createHint<Value>(): Hint<Value> {
  const listeners: ((value: Value) => void)[] = [];
  return {
    give(value) {
      for (const listener of listeners) listener(value);
    },
    listen(listener) {
      listeners.push(listener);
    },
  };
}
