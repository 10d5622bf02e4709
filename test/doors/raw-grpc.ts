import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from 'node:http2';
import { ConnectError } from '@connectrpc/connect';
import { findTrailerError } from '@connectrpc/connect/protocol-grpc';
import { type Refusal, refusalOf } from './rig.ts';

export interface RawCall {
  readonly path?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Uint8Array;
  /** Whether the request ends after the body. Default: yes. */
  readonly end?: boolean;
}

export const submitTaskPath = '/dstc.v1.TaskService/SubmitTask';

/** A gRPC message: the flag for compression, its length, and its bytes. */
export function frame(message: Uint8Array, { flag = 0, length = message.byteLength } = {}): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flag, 0);
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, message]);
}

/** Runs `use` on an HTTP/2 connection of its own, which no client library keeps from sending what it likes. */
export async function withSession<Result>(
  url: string,
  use: (session: ClientHttp2Session) => Promise<Result>,
): Promise<Result> {
  const session = connect(url);
  session.on('error', () => undefined);
  try {
    return await use(session);
  } finally {
    session.destroy();
  }
}

/** The refusal that a raw call is answered with. */
export function rawRefusal(url: string, call: RawCall): Promise<Refusal> {
  return withSession(url, (session) => refusalOf(rawCall(session, call)));
}

/** Resolves when the status is OK, and rejects with the status as an error otherwise. */
export function rawCall(
  session: ClientHttp2Session,
  { path = submitTaskPath, headers = {}, body, end = true }: RawCall,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request(
      { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...headers },
      { endStream: false },
    );
    const settle = (trailers: NodeJS.Dict<unknown>) => {
      const found = new Headers();
      for (const [name, value] of Object.entries(trailers))
        if (!name.startsWith(':')) found.append(name, String(value));
      if (!found.has('grpc-status')) return;
      const error = findTrailerError(found);
      if (error === undefined) resolve();
      else reject(error);
    };
    stream.on('response', settle);
    stream.on('trailers', settle);
    stream.on('error', reject);
    stream.on('close', () => reject(new ConnectError(`closed with ${stream.rstCode}`)));
    session.once('close', () => reject(new ConnectError('the connection was closed')));
    stream.resume();
    if (body !== undefined) stream.write(body);
    if (end) stream.end();
  });
}
