import type { Logger } from 'pino';
import { setOtherCircuit } from '../store/circuits.ts';
import type { Database } from '../store/database.ts';
import { type GateKey, pauseUnpausedGate, resumePausedGate } from '../store/gates.ts';
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
      const { actor, reason } = change;
      const isPaused = await deps.database.run((sql) => pauseUnpausedGate(sql, change, { actor, reason }));
      if (isPaused) deps.log.info(change, 'paused');
    },

    async resume(change) {
      const isResumed = await deps.database.run((sql) => resumePausedGate(sql, change));
      if (!isResumed) return;
      deps.log.info(change, 'resumed');
      const { namespace, type } = change;
      deps.wake.gateOpened.give({ namespace, type: type === '' ? undefined : type });
    },

    async setCircuit(change, state) {
      const { namespace, type, actor, reason } = change;
      const isSet = await deps.database.run((sql) => setOtherCircuit(sql, change, state, { actor, reason }));
      if (!isSet) return;
      deps.log.info({ namespace, type, circuit: state, actor, reason }, 'a circuit has changed');
      if (state !== 'FORCED_OPEN') deps.wake.gateOpened.give({ namespace, type });
    },
  };
}
