/** The task types of the model: what differs between them is what the lifecycle looks at. */
export interface ModelType {
  readonly attemptsMax: number;
  readonly hasStart: boolean;
  readonly hasHeartbeat: boolean;
  readonly hasTotal: boolean;
  /** How many may run at the same time. */
  readonly runningMax: number;
}

export const modelTypes: Readonly<Record<'plain', ModelType> & Record<string, ModelType | undefined>> = {
  plain: {
    attemptsMax: 7,
    hasStart: false,
    hasHeartbeat: false,
    hasTotal: false,
    runningMax: Number.POSITIVE_INFINITY,
  },
  timed: { attemptsMax: 2, hasStart: true, hasHeartbeat: true, hasTotal: true, runningMax: Number.POSITIVE_INFINITY },
  narrow: { attemptsMax: 3, hasStart: false, hasHeartbeat: false, hasTotal: false, runningMax: 2 },
};

/** In every type's retry policy: a failure with it is not tried again, though its kind would be. */
export const finalCode = 'FORBIDDEN';
