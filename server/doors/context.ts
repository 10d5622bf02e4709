import { createContextKey, type HandlerContext } from '@connectrpc/connect';
import type { Caller } from '../auth/caller.ts';

export const callerKey = createContextKey<Caller | undefined>(undefined, { description: 'caller' });

/** Who is calling. Both doors set it before a handler runs. */
export function callerOf(context: HandlerContext): Caller {
  const caller = context.values.get(callerKey);
  if (caller === undefined) throw new Error(`${context.method.name} was reached without a caller`);
  return caller;
}
