import type { Socket } from 'node:net';

/**
 * Destroys a socket that owes an answer for `silenceMsMax`: something was written, and nothing has been read since.
 * Postgres answers every message it is sent, so only a broken path or a stopped server is that silent.
 */
export function guardSocket(socket: Socket, silenceMsMax: number): Socket {
  const write = socket.write.bind(socket);
  let timer: NodeJS.Timeout | undefined;

  const settle = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  const guardedWrite = (...args: Parameters<Socket['write']>): boolean => {
    timer ??= setTimeout(
      () => socket.destroy(new Error(`no answer from Postgres within ${silenceMsMax} ms`)),
      silenceMsMax,
    );
    return write(...args);
  };
  socket.write = guardedWrite as Socket['write'];
  socket.on('data', settle);
  socket.once('close', settle);
  return socket;
}
