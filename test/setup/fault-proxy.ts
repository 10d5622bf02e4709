import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A way to a server on this machine that can be disturbed. */
export interface FaultProxy {
  readonly port: number;
  /** Resets every connection. */
  readonly cut: () => void;
  /** The server's ends are gone, and the clients are never told. */
  readonly halve: () => void;
  /** Nothing arrives any more in either direction until `heal`, and then all of it, late. */
  readonly block: () => void;
  /** Everything takes this much longer, each way. */
  readonly delay: (ms: number) => void;
  readonly heal: () => void;
  readonly close: () => Promise<void>;
}

interface Weather {
  blocked: boolean;
  delayMs: number;
}

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
  readonly resume: () => void;
  halved: boolean;
}

export async function startFaultProxy(targetPort: number): Promise<FaultProxy> {
  const weather: Weather = { blocked: false, delayMs: 0 };
  const pairs = new Set<Pair>();

  const server = createServer((near) => {
    const far = connect(targetPort, '127.0.0.1');
    const ways = [carry(near, far, weather), carry(far, near, weather)];
    const pair: Pair = { near, far, halved: false, resume: () => ways.forEach((resume) => void resume()) };
    pairs.add(pair);
    far.on('close', () => {
      if (!pair.halved) near.destroy();
    });
    near.on('close', () => {
      far.destroy();
      pairs.delete(pair);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has no port');

  return {
    port: address.port,
    cut() {
      for (const { near, far } of pairs) {
        near.resetAndDestroy();
        far.resetAndDestroy();
      }
    },
    halve() {
      for (const pair of pairs) {
        pair.halved = true;
        pair.far.resetAndDestroy();
      }
    },
    block() {
      weather.blocked = true;
    },
    delay(ms) {
      weather.delayMs = ms;
    },
    heal() {
      weather.blocked = false;
      weather.delayMs = 0;
      for (const pair of pairs) pair.resume();
    },
    async close() {
      for (const { near, far } of pairs) {
        near.destroy();
        far.destroy();
      }
      server.close();
      await once(server, 'close');
    },
  };
}

/** Passes on what one socket receives, in order, when the weather allows; answers with what looks again. */
function carry(from: Socket, to: Socket, weather: Weather): () => void {
  const held: { readonly bytes: Buffer; readonly dueMs: number }[] = [];
  let timer: NodeJS.Timeout | undefined;

  function pass(): void {
    clearTimeout(timer);
    while (!weather.blocked) {
      const [first] = held;
      if (first === undefined) return;
      const waitMs = first.dueMs - performance.now();
      if (waitMs > 0 && weather.delayMs > 0) {
        timer = setTimeout(pass, waitMs);
        return;
      }
      held.shift();
      if (to.writable) to.write(first.bytes);
    }
  }

  from.setNoDelay(true);
  from.on('data', (bytes) => {
    held.push({ bytes, dueMs: performance.now() + weather.delayMs });
    pass();
  });
  // How a connection ends is told by its close.
  from.on('error', () => undefined);
  from.on('close', () => clearTimeout(timer));
  return pass;
}
