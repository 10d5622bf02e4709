import { Interrupted } from './exit.ts';

/**
 * A signal that is aborted by the first Ctrl-C or SIGTERM, or when the process that started this one is gone; a second one
 * ends this process at once. Commands that never ask for it keep the system's way: the first one ends them.
 */
export function createInterruption(process: NodeJS.Process): () => AbortSignal {
  let controller: AbortController | undefined;
  const interrupt = () => {
    if (controller?.signal.aborted) process.exit(130);
    controller?.abort(new Interrupted());
  };
  return () => {
    if (controller !== undefined) return controller.signal;
    controller = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
    process.once('disconnect', interrupt);
    // Listening on it would keep the process alive.
    process.channel?.unref();
    return controller.signal;
  };
}
