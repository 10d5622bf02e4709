/** npm hands a Ctrl-C on that the terminal has sent to everyone already: what comes this close is the same one. */
const sameMs = 1_000;

/**
 * A signal that is aborted by the first Ctrl-C, SIGTERM or SIGHUP, or when the process that started this one is gone. One
 * that comes later than that calls `force`.
 */
export function createInterruption(process: NodeJS.Process, force: () => void): AbortSignal {
  const controller = new AbortController();
  let firstMs = 0;
  const interrupt = () => {
    if (!controller.signal.aborted) {
      firstMs = performance.now();
      controller.abort();
    } else if (performance.now() - firstMs > sameMs) {
      force();
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
  process.once('disconnect', interrupt);
  // Listening would keep this process alive.
  process.channel?.unref();
  return controller.signal;
}
