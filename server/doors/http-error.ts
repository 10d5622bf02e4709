import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { codeToHttpStatus, errorToJson } from '@connectrpc/connect/protocol-connect';
import type { DstcError } from '../domain/errors.ts';
import { connectErrorOf } from './errors.ts';

/** The JSON that Connect answers with, which every error of this port has, whatever was asked for. */
function errorBody(error: DstcError): Buffer {
  return Buffer.from(JSON.stringify(errorToJson(connectErrorOf(error), undefined)));
}

export function sendError(response: ServerResponse, error: DstcError, status?: number): void {
  if (response.headersSent || response.destroyed) return;
  const body = errorBody(error);
  closeUnlessComplete(response);
  response.writeHead(status ?? codeToHttpStatus(connectErrorOf(error).code), {
    'content-type': 'application/json',
    'content-length': body.byteLength,
    'cache-control': 'no-store',
  });
  response.end(body);
}

/** A client that is still sending must not use the connection again: what it sends is thrown away. */
export function closeUnlessComplete(response: ServerResponse): void {
  if (!response.req.complete) response.setHeader('connection', 'close');
}

/** For requests that are so wrong that Node's parser gives no response object. */
export function sendErrorToSocket(socket: Socket, error: DstcError, statusLine: string): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const body = errorBody(error);
  socket.end(
    `HTTP/1.1 ${statusLine}\r\ncontent-type: application/json\r\ncontent-length: ${body.byteLength}\r\nconnection: close\r\n\r\n${body}`,
  );
}
