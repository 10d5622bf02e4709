import type { Logger } from 'pino';
import { setOtherCircuit } from '../store/circuits.ts';
import type { Database, Sql } from '../store/database.ts';
import { type GateKey, pauseUnpausedGate, resumePausedGate } from '../store/gates.ts';
import { insertSystemEvents, type NewSystemEvent } from '../store/insert-system-events.ts';
import { lockTaskType } from '../store/task-types.ts';
import type { Wake } from './wake.ts';

/** Who holds up or lets go, and why. */
export interface GateChange extends GateKey {
  readonly actor: string;
  readonly reason: string;
}

/** What people make of a circuit; closed begins anew, and leaves it to the breaker. */
export type SetCircuit = 'CLOSED' | 'FORCED_OPEN' | 'FORCED_CLOSED';

/** Stops and restarts the leasing of a type, or of a namespace; what is so already stays as it is. */
export interface Gates {
  /** From the answer on no claim that begins leases a task of it, on any node. */
  readonly pause: (change: GateChange) => Promise<void>;
  readonly resume: (change: GateChange) => Promise<void>;
  /** Of a type. */
  readonly setCircuit: (change: GateChange, state: SetCircuit) => Promise<void>;
}

export function createGates(deps: { readonly database: Database; readonly wake: Wake; readonly log: Logger }): Gates {
  return {
    async pause(change) {
      const isPaused = await deps.database.transaction(async (sql) => {
        await lockThing(sql, change);
        const isNew = await pauseUnpausedGate(sql, change, change);
        if (isNew) await insertSystemEvents(sql, [gateEvent(change, 'paused')]);
        return isNew;
      });
      if (!isPaused) return;
      deps.log.info(change, 'paused');
      deps.wake.eventsWritten.give(undefined);
    },

    async resume(change) {
      const isResumed = await deps.database.transaction(async (sql) => {
        await lockThing(sql, change);
        const isNew = await resumePausedGate(sql, change);
        if (isNew) await insertSystemEvents(sql, [gateEvent(change, 'resumed')]);
        return isNew;
      });
      if (!isResumed) return;
      deps.log.info(change, 'resumed');
      deps.wake.eventsWritten.give(undefined);
      const { namespace, type } = change;
      deps.wake.gateOpened.give({ namespace, type: type === '' ? undefined : type });
    },

    async setCircuit(change, state) {
      const { namespace, type, actor, reason } = change;
      const isSet = await deps.database.transaction(async (sql) => {
        const isNew = await setOtherCircuit(sql, change, state, change);
        if (isNew) await insertSystemEvents(sql, [circuitEvent(change, state)]);
        return isNew;
      });
      if (!isSet) return;
      deps.log.info({ namespace, type, circuit: state, actor, reason }, 'a circuit has changed');
      deps.wake.eventsWritten.give(undefined);
      if (state !== 'FORCED_OPEN') deps.wake.gateOpened.give({ namespace, type });
    },
  };
}

/**
 * The events of a type come one after the other, whatever they tell of, because all who write them have its row. A
 * namespace has none, but only its gate.
 */
async function lockThing(sql: Sql, { namespace, type }: GateKey): Promise<void> {
  if (type !== '') await lockTaskType(sql, { namespace, name: type });
}

function gateEvent({ namespace, type, actor, reason }: GateChange, what: 'paused' | 'resumed'): NewSystemEvent {
  const told = { namespace, actor, data: { reason } };
  return type === ''
    ? { ...told, kind: `namespace.${what}`, subject: namespace }
    : { ...told, kind: `task_type.${what}`, subject: type };
}

function circuitEvent({ namespace, type, actor, reason }: GateChange, state: SetCircuit): NewSystemEvent {
  const kind = state === 'FORCED_OPEN' ? 'circuit.opened' : 'circuit.closed';
  return { kind, namespace, subject: type, actor, data: { reason, isForced: state !== 'CLOSED' } };
}
