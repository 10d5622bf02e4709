import type { Sample } from '../figures.ts';
import type { World } from '../world.ts';

/** What is measured; the peer with and without its in-process queue, which are as different as two systems. */
export type Subject = 'dstc' | 'graphile-worker' | 'graphile-worker, local queue';

export interface MeasureDeps {
  readonly world: World;
  readonly subject: Subject;
  readonly seconds: number;
}

export type Measure = (deps: MeasureDeps) => Promise<Sample[]>;
