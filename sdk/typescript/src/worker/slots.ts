import type { MessageInitShape } from '@bufbuild/protobuf';
import type { DemandSchema } from '@dstc/contract/dstc/v1/worker_pb';

export interface SlotLimits {
  /** Handlers at the same time, over all types. */
  readonly concurrency: number;
  /** Leases held beyond those, so that a handler that ends finds the next task here. */
  readonly prefetch: number;
  /** Handlers at the same time for each type. */
  readonly perType: ReadonlyMap<string, number>;
}

/** Counts handlers: those at work, and the strays among them, whose lease is gone. */
export class Slots {
  readonly #limits: SlotLimits;
  readonly #runningByType = new Map<string, number>();
  readonly #straysByType = new Map<string, number>();
  #running = 0;
  #strays = 0;

  constructor(limits: SlotLimits) {
    this.#limits = limits;
  }

  /** Leases that the worker can hold. */
  get total(): number {
    return this.#limits.concurrency + this.#limits.prefetch;
  }

  get running(): number {
    return this.#running;
  }

  get strays(): number {
    return this.#strays;
  }

  /** The same for each type. */
  byType(): { taskType: string; slots: number }[] {
    const { perType, prefetch } = this.#limits;
    return Array.from(perType, ([taskType, concurrency]) => ({
      taskType,
      slots: Math.min(this.total, concurrency + prefetch),
    }));
  }

  /** What may be held at present: a stray takes a place although no lease shows it. */
  demand(): MessageInitShape<typeof DemandSchema> {
    return {
      credits: Math.max(0, this.total - this.#strays),
      taskTypes: this.byType().map(({ taskType, slots }) => ({
        taskType,
        slots: Math.max(0, slots - (this.#straysByType.get(taskType) ?? 0)),
      })),
    };
  }

  anyFree(): boolean {
    return this.#running < this.#limits.concurrency;
  }

  free(type: string): boolean {
    return this.anyFree() && (this.#runningByType.get(type) ?? 0) < (this.#limits.perType.get(type) ?? 0);
  }

  take(type: string): void {
    this.#running += 1;
    add(this.#runningByType, type, 1);
  }

  stray(type: string): void {
    this.#strays += 1;
    add(this.#straysByType, type, 1);
  }

  giveBack(type: string, { stray }: { readonly stray: boolean }): void {
    this.#running -= 1;
    add(this.#runningByType, type, -1);
    if (!stray) return;
    this.#strays -= 1;
    add(this.#straysByType, type, -1);
  }
}

function add(counts: Map<string, number>, type: string, change: number): void {
  counts.set(type, (counts.get(type) ?? 0) + change);
}
