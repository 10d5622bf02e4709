import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import { DstcError } from '../domain/errors.ts';
import { authenticate } from './bearer.ts';
import type { DoorDeps } from './door.ts';
import { toDstcError } from './errors.ts';
import { sendError } from './http-error.ts';

export type HttpPagesDeps = DoorDeps & { readonly metrics?: Registry };

type Page = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

const about = `DSTC, a coordinator for tasks that many teams and languages share.

RPCs:    POST /dstc.v1.TaskService/SubmitTask and so on, as JSON, Connect or gRPC-Web; the header authorization: Bearer <token>
Events:  POST /v1/events/<namespace>, CloudEvents in structured, binary or batched mode, with the same header
Health:  GET /healthz, GET /readyz
Metrics: GET /metrics, for callers with the permission monitor on everything
The contract is in proto/dstc/v1, the documentation in README.md and docs/ of the repository.
`;

/** Everything on the HTTP port that is no RPC. What does not exist is 404 with the error shape of the RPCs. */
export function createHttpPages(deps: HttpPagesDeps): Page {
  const pages: Readonly<Record<string, Page>> = {
    '/': async (_, response) => sendText(response, 200, about),
    '/healthz': async (_, response) => sendText(response, 200, 'ok\n'),
    '/readyz': async (_, response) => {
      try {
        await deps.ready();
      } catch {
        // Why is for the log of the part that is not ready, not for strangers.
        sendText(response, 503, 'not ready\n');
        return;
      }
      sendText(response, 200, 'ready\n');
    },
    '/metrics': (request, response) => sendMetrics(deps, request, response),
  };

  return async (request, response) => {
    const path = request.url?.split('?', 1)[0] ?? '';
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    try {
      if (page === undefined) {
        sendError(
          response,
          new DstcError('UNIMPLEMENTED', `there is no ${printable(path)}; see / for what there is`),
          404,
        );
      } else if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.setHeader('allow', 'GET, HEAD');
        sendError(response, new DstcError('UNIMPLEMENTED', `${path} is read with GET`), 405);
      } else {
        await page(request, response);
      }
    } catch (error) {
      sendError(response, toDstcError(deps, error, { rpc: printable(path) }));
    }
  };
}

/**
 * Counts tell how much everybody does, so they need a token whose principal may `monitor` everything. Being on the same
 * machine is no proof: so is every proxy.
 */
async function sendMetrics(deps: HttpPagesDeps, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const authorization = request.headersDistinct.authorization ?? [];
  const caller = await authenticate(deps.callers, authorization, { wantsJson: false });
  caller.requireEverywhere('monitor');
  if (deps.metrics === undefined) throw new DstcError('UNIMPLEMENTED', 'this node keeps no metrics');
  const body = await deps.metrics.metrics();
  response.writeHead(200, { 'content-type': deps.metrics.contentType, 'cache-control': 'no-store' }).end(body);
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' }).end(text);
}

function printable(path: string): string {
  return path.slice(0, 200).replace(/[^\x21-\x7e]/g, '?');
}
