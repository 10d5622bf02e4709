import { rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { hasErrorCode } from './error-code.ts';
import { StartError } from './start-error.ts';

/**
 * Holds a lock for as long as this process lives: a unix socket that it listens on. The system closes it however the
 * process ends, and a process id that was given to somebody else cannot be mistaken for the holder.
 *
 * @param path of the socket, about 100 bytes at most
 * @param taken the message when a living process holds it
 */
export async function holdStarterLock(path: string, taken: string): Promise<{ release(): Promise<void> }> {
  const server = createServer((socket) => socket.destroy());
  const listen = () =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, () => resolve(server.off('error', reject) && undefined));
    });
  try {
    await listen();
  } catch (error) {
    if (!hasErrorCode(error, 'EADDRINUSE')) throw error;
    if (await isListening(path)) throw new StartError(taken);
    await rm(path, { force: true });
    await listen();
  }
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(Boolean(socket.destroy())));
    socket.once('error', () => resolve(false));
  });
}
