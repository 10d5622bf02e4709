import type { Sample } from '../figures.ts';
import type { World } from '../world.ts';

/**
 * What is measured; the peer with and without its in-process queue, which are as different as two systems, and types with
 * limits, which are compared with a type without.
 */
export type Subject =
  | 'dstc'
  | 'graphile-worker'
  | 'graphile-worker, local queue'
  | `dstc, ${'concurrency' | 'key' | 'rate' | 'all per key'}`;

export interface MeasureDeps {
  readonly world: World;
  readonly subject: Subject;
  readonly seconds: number;
}

export type Measure = (deps: MeasureDeps) => Promise<Sample[]>;
