import { DstcError } from '../../domain/errors.ts';

/** A batch that met a closed door fails as a whole, so that callers wait and try again as they do with any call. */
export function throwIfNoneWasTried(outcomes: readonly unknown[]): void {
  const closed = outcomes.filter((outcome) => outcome instanceof DstcError && isClosedDoor(outcome));
  if (closed.length > 0 && closed.length === outcomes.length) throw closed[0];
}

function isClosedDoor({ code, reason }: DstcError): boolean {
  return code === 'UNAVAILABLE' || reason === 'OVERLOADED';
}
