import type { HandlerContext } from '@connectrpc/connect';
import { type Caller, permissionMissing } from '../auth/caller.ts';
import type { Permission } from '../auth/permission.ts';
import { DstcError } from '../domain/errors.ts';
import { abortReason } from './deadline.ts';
import { timerMsMax } from './door-limits.ts';

export interface StreamLife {
  /** The handler's context with a signal that also aborts when the caller may not have the stream any more. */
  readonly context: HandlerContext;
  readonly end: () => void;
}

export interface StreamRight {
  readonly caller: Caller;
  readonly permission: Permission;
  /** Undefined is any. */
  readonly namespace: string | undefined;
}

/**
 * A stream that only the server talks on lives no longer than its caller's token, and than its caller's permission on
 * anything at all. There is no way to renew the token: the caller opens another stream.
 */
export function beginStreamLife(context: HandlerContext, { caller, permission, namespace }: StreamRight): StreamLife {
  const controller = new AbortController();
  const onAbort = () => controller.abort(abortReason(context.signal));
  if (context.signal.aborted) onAbort();
  context.signal.addEventListener('abort', onAbort);

  const stopWatching = caller.onPolicyChange(() => {
    if (!caller.holdsAnywhere(permission, namespace)) {
      controller.abort(permissionMissing(permission, namespace ?? 'any namespace'));
    }
  });
  let timer: NodeJS.Timeout;
  const watchToken = () => {
    const leftMs = caller.principal.expiresAt.getTime() - Date.now();
    if (leftMs > 0) timer = setTimeout(watchToken, Math.min(leftMs, timerMsMax));
    else
      controller.abort(new DstcError('TOKEN_INVALID', 'the token has expired; open the stream again with a fresh one'));
  };
  watchToken();

  return {
    // What both doors have in it is computed when asked for, which a copy would do at once.
    context: Object.create(context, { signal: { value: controller.signal, enumerable: true } }),
    end() {
      clearTimeout(timer);
      stopWatching();
      context.signal.removeEventListener('abort', onAbort);
    },
  };
}
