import type { IncomingMessage, ServerResponse } from 'node:http';
import { cors } from '@connectrpc/connect';

const preflightSecondsMax = '7200';

/**
 * Lets pages of the given origins call this port. Answers preflight requests, and then returns true. Without origins no page
 * of another origin may.
 */
export function allowOrigins(
  origins: ReadonlySet<string>,
  request: IncomingMessage,
  response: ServerResponse,
): boolean {
  if (origins.size === 0) return false;
  response.setHeader('vary', 'Origin');
  const { origin } = request.headers;
  const preflight = request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined;
  if (origin !== undefined && origins.has(origin)) {
    response.setHeader('access-control-allow-origin', origin);
    response.setHeader('access-control-expose-headers', cors.exposedHeaders.join(', '));
    if (preflight) {
      response.setHeader('access-control-allow-methods', cors.allowedMethods.join(', '));
      response.setHeader('access-control-allow-headers', [...cors.allowedHeaders, 'Authorization'].join(', '));
      response.setHeader('access-control-max-age', preflightSecondsMax);
    }
  }
  if (preflight) response.writeHead(204).end();
  return preflight;
}
