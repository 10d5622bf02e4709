import { watchStarvation } from './starvation.ts';

/**
 * Loaded before a coordinator of a storm: tells when the machine gave it no time, and puts its wall clock off by
 * STORM_CLOCK_MS. How long things take stays as it is.
 */
const offMs = Number(process.env.STORM_CLOCK_MS ?? 0);
const Right = Date;

watchStarvation((stall) => {
  if (process.connected) process.send?.({ kind: 'stall', stall });
});

globalThis.Date = new Proxy(Right, {
  construct: (target, args: unknown[], newTarget) =>
    Reflect.construct(target, args.length === 0 ? [Right.now() + offMs] : args, newTarget),
  apply: () => new Right(Right.now() + offMs).toString(),
  get: (target, name, receiver) => (name === 'now' ? () => Right.now() + offMs : Reflect.get(target, name, receiver)),
});
