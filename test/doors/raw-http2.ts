import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { frame, submitTaskPath } from './raw-grpc.ts';

const flags = { endStream: 0x1, ack: 0x1, endHeaders: 0x4 };
const types = { data: 0x0, headers: 0x1, rstStream: 0x3, settings: 0x4, ping: 0x6, continuation: 0x9 };

/** An HTTP/2 client that sends any frame, allowed or not. */
export interface RawHttp2 {
  readonly socket: Socket;
  /** Opens a request and says nothing of its end. */
  headers(
    stream: number,
    fields: readonly (readonly [string, string])[],
    options?: { readonly endStream?: boolean; readonly endHeaders?: boolean },
  ): void;
  /** Sends one gRPC message, and ends the request unless told otherwise. */
  message(stream: number, message: Uint8Array, options?: { readonly endStream?: boolean }): void;
  continuation(stream: number, block: Uint8Array): void;
  reset(stream: number): void;
  ping(): void;
  settings(): void;
  /** Resolves when the server closes the connection, or after `ms`: whether it did. */
  closedWithin(ms: number): Promise<boolean>;
  /** Whether the server has answered a request with nothing but trailers, which is how gRPC refuses. */
  ended(stream: number): boolean;
  /** The code that the server has reset a request with, if it has. */
  resetWith(stream: number): number | undefined;
  close(): void;
}

export async function connectRaw(port: number): Promise<RawHttp2> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => undefined);
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const send = (type: number, flag: number, stream: number, payload: Uint8Array) => {
    const header = Buffer.alloc(9);
    header.writeUIntBE(payload.byteLength, 0, 3);
    header.writeUInt8(type, 3);
    header.writeUInt8(flag, 4);
    header.writeUInt32BE(stream, 5);
    if (socket.writable) socket.write(Buffer.concat([header, payload]));
  };
  send(types.settings, 0, 0, Buffer.alloc(0));
  return {
    socket,
    headers(stream, fields, { endStream = false, endHeaders = true } = {}) {
      send(
        types.headers,
        (endStream ? flags.endStream : 0) | (endHeaders ? flags.endHeaders : 0),
        stream,
        encodeHeaders(fields),
      );
    },
    message: (stream, message, { endStream = true } = {}) =>
      send(types.data, endStream ? flags.endStream : 0, stream, frame(message)),
    continuation: (stream, block) => send(types.continuation, 0, stream, block),
    reset: (stream) => send(types.rstStream, 0, stream, Buffer.from([0, 0, 0, 8])),
    ping: () => send(types.ping, 0, 0, Buffer.alloc(8)),
    settings: () => send(types.settings, 0, 0, Buffer.from([0, 4, 0, 0, 0xff, 0xff])),
    closedWithin: (ms) =>
      new Promise((resolve) => {
        if (socket.closed) resolve(true);
        const timer = setTimeout(() => resolve(false), ms);
        socket.once('close', () => {
          clearTimeout(timer);
          resolve(true);
        });
      }),
    ended: (stream) =>
      Buffer.concat(chunks).includes(Buffer.from([types.headers, flags.endStream | flags.endHeaders, 0, 0, 0, stream])),
    resetWith(stream) {
      const received = Buffer.concat(chunks);
      const at = received.indexOf(Buffer.from([0, 0, 4, types.rstStream, 0, 0, 0, 0, stream]));
      return at < 0 ? undefined : received.readUInt32BE(at + 9);
    },
    close: () => socket.destroy(),
  };
}

/** HPACK literals without indexing or Huffman coding: any fields, however often. */
export function encodeHeaders(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), encodeText(name), encodeText(value)]));
}

function encodeText(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const length: number[] = [];
  if (bytes.byteLength < 127) length.push(bytes.byteLength);
  else {
    length.push(127);
    let rest = bytes.byteLength - 127;
    for (; rest >= 128; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}

export function requestFields(
  port: number,
  extra: readonly (readonly [string, string])[] = [],
  path = submitTaskPath,
): (readonly [string, string])[] {
  return [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':authority', `127.0.0.1:${port}`],
    [':path', path],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...extra,
  ];
}
