import { type Child, startChild } from '../child.ts';
import type { LoadResult, LoadSettings, ToLoad } from '../load/messages.ts';
import type { World } from '../world.ts';

export type LoadName =
  | `dstc-${'submit' | 'produce' | 'work' | 'latency' | 'idle' | 'subscribe'}`
  | `peer-${'submit' | 'produce' | 'work' | 'latency'}`;

/** A load in a process of its own, set up and waiting. */
export interface Load {
  /** Runs it to its end. */
  readonly go: () => Promise<LoadResult>;
  readonly send: (message: ToLoad) => void;
  readonly onHandled: (listener: (count: number) => void) => void;
}

/** Starts a load, hands it over once it is ready, and ends it whatever happens. */
export async function withLoad<Result>(
  { interrupted }: World,
  name: LoadName,
  settings: LoadSettings,
  work: (load: Load) => Promise<Result>,
): Promise<Result> {
  const file = new URL(`../load/${name}.ts`, import.meta.url);
  const child = startChild({ file, args: [JSON.stringify(settings)], interrupted });
  try {
    await child.next('ready');
    return await work(loadOf(child));
  } finally {
    await child.stop();
  }
}

function loadOf(child: Child): Load {
  return {
    go() {
      const result = child.next<LoadResult>('result');
      child.send({ kind: 'go' } satisfies ToLoad);
      return result;
    },
    send: (message) => child.send(message),
    onHandled: (listener) =>
      child.listen('handled', (message) => listener((message as Extract<ToLoad, { kind: 'handled' }>).count)),
  };
}
