import type { FromLoad, LoadResult, LoadSettings, ToLoad } from './messages.ts';

/** The benchmark, as a load process sees it. */
export function settings(): LoadSettings {
  return JSON.parse(process.argv[2] ?? '{}') as LoadSettings;
}

export function tell(message: FromLoad): void {
  process.send?.(message);
}

export function onMessage(listener: (message: ToLoad) => void): void {
  process.on('message', (message) => listener(message as ToLoad));
}

/** Says that the load is set up, runs it when told to, hands in its result and ends the process. */
export function runLoad(run: () => Promise<Omit<LoadResult, 'kind'>>): void {
  // Without the benchmark nobody would end this process.
  process.once('disconnect', () => process.exit(1));
  onMessage((message) => {
    if (message.kind !== 'go') return;
    run().then(
      (result) => {
        process.removeAllListeners('disconnect');
        process.send?.({ kind: 'result', ...result } satisfies LoadResult, () => process.disconnect());
      },
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  });
  tell({ kind: 'ready' });
}
