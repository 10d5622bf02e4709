import { createContextKey, type HandlerContext } from '@connectrpc/connect';
import type { Caller } from '../auth/caller.ts';
import { validTraceParent } from '../domain/trace-parent.ts';

export const callerKey = createContextKey<Caller | undefined>(undefined, { description: 'caller' });

export const traceParentKey = createContextKey<string | undefined>(undefined, { description: 'traceparent' });

/** The caller's `traceparent` (W3C Trace Context), which both doors set; one that is malformed counts as none. */
export function traceParentOf(context: HandlerContext): string | undefined {
  return validTraceParent(context.values.get(traceParentKey));
}

/** Ends a stream of the caller with an error, although its handler is held up by a reader that does not read. */
export type Cut = (error: unknown) => void;

/** Both doors set it before a handler runs. */
export const cutKey = createContextKey<Cut>(() => undefined, { description: 'cut' });

/** Who is calling. Both doors set it before a handler runs. */
export function callerOf(context: HandlerContext): Caller {
  const caller = context.values.get(callerKey);
  if (caller === undefined) throw new Error(`${context.method.name} was reached without a caller`);
  return caller;
}
