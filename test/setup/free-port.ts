import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the ports that systems give to outgoing connections: one of those would take a port before it is listened on. */
const ports = { first: 10_000, end: 32_000 };
/** Of those, the one that `fetch` takes for no web server's, whatever listens there. */
const blocked = 10_080;
const triesMax = 100;

/** A port that was free a moment ago, as was the one beside it: what is started next to something takes that. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < triesMax; tries += 1) {
    // Even ones only, so that the port beside is nobody else's.
    const port = ports.first + 2 * Math.floor((Math.random() * (ports.end - ports.first)) / 2);
    if (port !== blocked && (await isFree(port)) && (await isFree(port + 1))) return port;
  }
  throw new Error(`no free port found among ${triesMax}`);
}

export async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  const isListening = await once(server, 'listening').then(
    () => true,
    () => false,
  );
  if (isListening) await once(server.close(), 'close');
  return isListening;
}
