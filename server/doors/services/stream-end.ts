import type { HandlerContext } from '@connectrpc/connect';
import { permissionMissing } from '../../auth/caller.ts';
import type { Permission } from '../../auth/permission.ts';
import { DstcError } from '../../domain/errors.ts';
import { callerOf, cutKey } from '../context.ts';
import { abortReason } from '../deadline.ts';
import { onExpiry, tokenExpired } from '../token-expiry.ts';

export interface StreamEndOptions {
  /** What the stream needs on any task type of the namespace. */
  readonly permission: Permission;
  readonly namespace: string;
  /** Aborts when the node shuts down. */
  readonly draining: AbortSignal;
}

/** Watches for what ends a stream that goes on for as long as its caller wants. */
export interface StreamEnd {
  /** Aborts with the error that the stream ends with. */
  readonly signal: AbortSignal;
  readonly stop: () => void;
}

/** Such a stream ends with its call, its caller's token, the last permission that it needs, and its node. */
export function watchStreamEnd(context: HandlerContext, options: StreamEndOptions): StreamEnd {
  const { permission, namespace, draining } = options;
  const caller = callerOf(context);
  const controller = new AbortController();

  /** Also when its handler waits for a reader that does not read. */
  function end(error: DstcError): void {
    controller.abort(error);
    context.values.get(cutKey)(error);
  }
  const onAbort = () => controller.abort(abortReason(context.signal));
  const onDrain = () => {
    const message = 'this node shuts down; go on elsewhere with the last cursor';
    end(new DstcError('NODE_DRAINING', message, { retryDelayMs: 250 }));
  };
  context.signal.addEventListener('abort', onAbort);
  draining.addEventListener('abort', onDrain);
  const stopWatchingPolicy = caller.onPolicyChange(() => {
    if (!caller.holdsAnywhere(permission, namespace)) end(permissionMissing(permission, namespace));
  });
  const stopWatchingToken = onExpiry(caller.principal, () => end(tokenExpired()));
  if (context.signal.aborted) onAbort();
  if (draining.aborted) onDrain();

  return {
    signal: controller.signal,
    stop() {
      stopWatchingToken();
      stopWatchingPolicy();
      draining.removeEventListener('abort', onDrain);
      context.signal.removeEventListener('abort', onAbort);
    },
  };
}
