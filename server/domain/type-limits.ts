/** Where the key of a task comes from. */
export type LimitKeySource =
  | { readonly kind: 'label'; readonly label: string }
  /** A JSON Pointer (RFC 6901) into a JSON input. */
  | { readonly kind: 'input'; readonly pointer: string };

/** A token bucket: `tasks` tokens evenly over each interval, `burst` of them at most. */
export interface Rate {
  readonly tasks: number;
  readonly intervalMs: number;
  readonly burst: number;
}

/** How much of one type's work may wait and run; null is no limit. */
export interface TypeLimits {
  readonly key: LimitKeySource | null;
  readonly concurrencyMax: number | null;
  readonly concurrencyPerKeyMax: number | null;
  readonly rate: Rate | null;
  readonly ratePerKey: Rate | null;
  readonly queueMax: number | null;
}
