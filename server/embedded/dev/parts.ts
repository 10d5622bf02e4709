/** What has been started, to be stopped in the reverse order, whatever happens meanwhile. */
export interface Parts {
  /** Something that must be stopped when everything is. */
  add(stop: () => Promise<void>): void;
  stop(): Promise<void>;
}

export function createParts(): Parts {
  const stops: (() => Promise<void>)[] = [];
  return {
    add: (stop) => void stops.push(stop),
    async stop() {
      const failures: unknown[] = [];
      for (let stop = stops.pop(); stop !== undefined; stop = stops.pop()) {
        // One that fails must not keep the others running.
        await stop().catch((error: unknown) => failures.push(error));
      }
      if (failures.length > 0) throw new AggregateError(failures, 'not everything could be stopped in order');
    },
  };
}
