import type { Logger } from 'pino';
import type { Database } from '../store/database.ts';
import { type Accepts, createAccepts } from './accept.ts';
import { type Circuits, createCircuits } from './circuits.ts';
import { type Control, createControl } from './control.ts';
import { type ControlMany, createControlMany } from './control-many.ts';
import { createDelivery } from './delivery.ts';
import { createDependents, type Dependents } from './dependents.ts';
import { createDispatch, type Dispatch } from './dispatch.ts';
import { createDrain, type Drain } from './drain.ts';
import { createEventRules, type EventRules } from './event-rules.ts';
import { createFireEvent, type FireEvent } from './fire-event.ts';
import { createGates, type Gates } from './gates.ts';
import { createPolicyRecord, type PolicyRecord } from './policy-record.ts';
import { createProgressReports, type ProgressReports } from './progress.ts';
import { createQueueLimits, type QueueLimits } from './queue-limits.ts';
import { createQueueStarts } from './queue-starts.ts';
import { createReports, type Reports } from './report.ts';
import { createSessions, type Sessions } from './sessions.ts';
import { createSnapshotWatch, type SnapshotWatch } from './snapshot-watch.ts';
import { createSubmit, type Submit } from './submit.ts';
import { createSubmitLinked, type SubmitLinked } from './submit-linked.ts';
import { createTakeBacks } from './take-back.ts';
import { createTally, type Tally } from './tally.ts';
import { createTaskTypes, type TaskTypes } from './task-types.ts';
import { startTicker, type Timers } from './ticker.ts';
import { createWake, type Wake } from './wake.ts';
import { createWatch, type Watch } from './watch.ts';

export interface EngineOptions {
  /** How other nodes and operators know this one. */
  readonly node: string;
  readonly leaseMs: number;
  readonly payloadBytesMax: number;
  readonly historyDays: number;
}

/** Everything that can happen to a task, put together. */
export interface Engine {
  /** What happens here, for those who would rather not poll. */
  readonly wake: Wake;
  readonly types: TaskTypes;
  readonly queueLimits: QueueLimits;
  readonly gates: Gates;
  readonly circuits: Circuits;
  readonly submit: Submit;
  readonly control: Control;
  readonly submitLinked: SubmitLinked;
  readonly dependents: Dependents;
  readonly controlMany: ControlMany;
  readonly drain: Drain;
  readonly eventRules: EventRules;
  readonly fireEvent: FireEvent;
  readonly watch: Watch;
  readonly dispatch: Dispatch;
  readonly sessions: Sessions;
  readonly accepts: Accepts;
  readonly progress: ProgressReports;
  readonly reports: Reports;
  readonly snapshots: SnapshotWatch;
  readonly policyRecord: PolicyRecord;
  readonly tally: Tally;
  readonly timers: Timers;
  /** Looks at the database now for what other nodes have done to the workers of this one. */
  readonly look: () => void;
  readonly stop: () => Promise<void>;
}

interface EngineDeps {
  readonly database: Database;
  readonly log: Logger;
}

export function startEngine(deps: EngineDeps, options: EngineOptions): Engine {
  const parts = assembleEngine(deps, options);
  const { accepts, progress, dependents, queueLimits, types } = parts;
  const ticker = startTicker({ ...deps, ...parts, ...options });
  return {
    ...parts,
    look: ticker.look,
    async stop() {
      await ticker.stop();
      await Promise.all([accepts.stop(), progress.stop(), dependents.stop(), queueLimits.stop()]);
      await types.stop();
    },
  };
}

/** The parts of an engine, without what happens because time passes: tests do that themselves, step by step. */
export function assembleEngine(deps: EngineDeps, options: EngineOptions): Omit<Engine, 'stop' | 'look'> {
  const { database, log } = deps;
  const { payloadBytesMax, leaseMs, node } = options;
  const wake = createWake();
  const tally = createTally();
  const types = createTaskTypes({ database, wake });
  const queueLimits = createQueueLimits({ database, log });
  const delivery = createDelivery();
  const accepts = createAccepts({ database, wake, log });
  const progress = createProgressReports({ database, wake, log });
  const circuits = createCircuits({ database, types, wake, log });
  const reports = createReports({ database, types, accepts, progress, circuits, wake, tally, payloadBytesMax });
  const takeBacks = createTakeBacks({ reports, tally, log });
  const snapshots = createSnapshotWatch({ database, log });
  const starts = createQueueStarts(snapshots.isSlowing);
  const dispatch = createDispatch({ database, starts, wake, log, delivery, takeBacks });
  const sessions = createSessions({
    database,
    dispatch,
    delivery,
    reports,
    accepts,
    takeBacks,
    wake,
    log,
    node,
    leaseMs,
  });
  const submit = createSubmit({ database, types, queueLimits, wake, payloadBytesMax });
  const eventRules = createEventRules({ database, types });
  return {
    wake,
    types,
    queueLimits,
    gates: createGates({ database, wake, log }),
    circuits,
    submit,
    control: createControl({ database, types, wake, payloadBytesMax }),
    submitLinked: createSubmitLinked({ database, types, queueLimits, wake, payloadBytesMax }),
    dependents: createDependents({ database, wake, log }),
    controlMany: createControlMany({ database, wake }),
    drain: createDrain({ database, wake }),
    eventRules,
    fireEvent: createFireEvent({ eventRules, submit, payloadBytesMax }),
    watch: createWatch({ database, wake, log }),
    dispatch,
    sessions,
    accepts,
    progress,
    reports,
    snapshots,
    policyRecord: createPolicyRecord({ database, wake, node }),
    tally,
    timers: { lateMs: 0 },
  };
}
