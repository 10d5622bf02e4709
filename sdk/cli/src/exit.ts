/** The command line itself is wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Everything worth saying is said; only the exit code is left. */
export class Exit extends Error {
  override readonly name = 'Exit';
  readonly code: number;

  constructor(code: number) {
    super(`exit code ${code}`);
    this.code = code;
  }
}

/** Somebody pressed Ctrl-C, or asked this process to end. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';

  constructor() {
    super('interrupted');
  }
}

/** What the process ends with after a command threw this. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof Exit) return error.code;
  if (error instanceof UsageError) return 2;
  // Waits that are stopped by a signal may wrap its reason.
  const isInterruption = error instanceof Interrupted || (error instanceof Error && error.cause instanceof Interrupted);
  return isInterruption ? 130 : 1;
}
