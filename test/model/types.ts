/** The task types of the model: what differs between them is what the lifecycle looks at. */
export interface ModelType {
  readonly attemptsMax: number;
  readonly hasStart: boolean;
  readonly hasHeartbeat: boolean;
  readonly hasTotal: boolean;
  /** How many may run at the same time. */
  readonly runningMax: number;
  readonly breaker: {
    /** 0 when only a fatal failure opens the circuit. */
    readonly failureRatio: number;
    readonly attemptsMin: number;
    readonly probes: number;
  };
}

const fatalOnly = { failureRatio: 0, attemptsMin: 1, probes: 1 };

export const modelTypes: Readonly<Record<'plain', ModelType> & Record<string, ModelType | undefined>> = {
  plain: {
    attemptsMax: 7,
    hasStart: false,
    hasHeartbeat: false,
    hasTotal: false,
    runningMax: Number.POSITIVE_INFINITY,
    breaker: fatalOnly,
  },
  timed: {
    ...{ attemptsMax: 2, hasStart: true, hasHeartbeat: true, hasTotal: true },
    ...{ runningMax: Number.POSITIVE_INFINITY, breaker: fatalOnly },
  },
  narrow: {
    ...{ attemptsMax: 3, hasStart: false, hasHeartbeat: false, hasTotal: false },
    ...{ runningMax: 2, breaker: fatalOnly },
  },
  guarded: {
    ...{ attemptsMax: 5, hasStart: false, hasHeartbeat: false, hasTotal: false },
    ...{ runningMax: Number.POSITIVE_INFINITY, breaker: { failureRatio: 0.5, attemptsMin: 3, probes: 2 } },
  },
};

export function typeOf(type: string): ModelType {
  return modelTypes[type] ?? modelTypes.plain;
}

/** In every type's retry policy: a failure with it is not tried again, though its kind would be. */
export const finalCode = 'FORBIDDEN';
