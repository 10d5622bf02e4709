/** What a load process is told at its start, as JSON in its arguments. */
export interface LoadSettings {
  readonly seconds: number;
  /** Where the system is: for DSTC the access to it, for the peer the URL of its database. */
  readonly access: unknown;
  readonly taskType: string;
  /** Of a worker of the peer: whether it keeps a local queue. */
  readonly localQueue?: boolean;
  /** Of a producer: how many tenants its tasks belong to, in turn; none when it is left out. */
  readonly keys?: number;
  /** Of a producer: no more than this; as many as it can when it is left out. */
  readonly tasksPerSecond?: number;
  /** How many streams of events there are. */
  readonly subscribers?: number;
}

/** From the load. */
export type FromLoad =
  | { readonly kind: 'ready' }
  /** Tasks that a worker has had in its hands so far. */
  | { readonly kind: 'handled'; readonly count: number }
  | LoadResult;

export interface LoadResult {
  readonly kind: 'result';
  /** Tasks submitted or done, a warm-up included; events delivered. */
  readonly count: number;
  readonly seconds: number;
  /** Of each call within the seconds. */
  readonly latenciesMs: readonly number[];
}

/** To the load. */
export type ToLoad =
  | { readonly kind: 'go' }
  /** For producers, which keep no more than `backlogMax` tasks ahead of the worker. */
  | { readonly kind: 'handled'; readonly count: number }
  /** For workers: end, with everything settled, after so many tasks. */
  | { readonly kind: 'finish'; readonly count: number };
