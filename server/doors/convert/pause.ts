import { create } from '@bufbuild/protobuf';
import { type Pause, PauseSchema } from '@dstc/contract/dstc/v1/pause_pb';
import type { GateRow } from '../../store/gates.ts';
import { toTimestamp } from './time.ts';

/** The pause of a gate; undefined when it has none. */
export function toPause(gate: GateRow | undefined): Pause | undefined {
  if (gate === undefined || gate.pausedTime === null) return undefined;
  return create(PauseSchema, {
    time: toTimestamp(gate.pausedTime),
    actor: gate.pausedBy ?? '',
    reason: gate.pauseReason ?? '',
  });
}
