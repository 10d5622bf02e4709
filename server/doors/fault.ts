/** What a log may say about an error that nobody foresaw. */
export interface Fault {
  readonly name: string;
  readonly message?: string;
  readonly code?: string;
  readonly at: readonly string[];
  readonly cause?: Fault;
}

const framesMax = 12;
const causesMax = 4;

/** Errors whose messages are made by programmers. Those of drivers and parsers quote rows, parameters and payloads. */
const quotable: ReadonlySet<string> = new Set([
  'Error',
  'TypeError',
  'RangeError',
  'ReferenceError',
  'AssertionError',
  'DstcError',
]);

/** Describes an error for the log without payload data: a driver's message may hold what a task carries. */
export function describeFault(error: unknown, depth = 0): Fault {
  if (!(error instanceof Error)) return { name: typeof error, at: [] };
  const name = error.constructor.name;
  const { code } = error as { code?: unknown };
  return {
    name,
    ...(quotable.has(name) ? { message: error.message } : {}),
    ...(typeof code === 'string' || typeof code === 'number' ? { code: String(code) } : {}),
    at: framesOf(error),
    ...(error.cause === undefined || depth >= causesMax ? {} : { cause: describeFault(error.cause, depth + 1) }),
  };
}

/** The first lines of a stack repeat the message. */
function framesOf(error: Error): readonly string[] {
  return (error.stack ?? '')
    .split('\n')
    .filter((line) => /^ {4}at /.test(line))
    .slice(0, framesMax)
    .map((line) => line.trim());
}
