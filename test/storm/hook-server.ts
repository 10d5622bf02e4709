import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { limits } from '../../server/domain/limits.ts';
import type { HookAnswer, HookRequest } from './hook.ts';
import type { Judgement } from './hook-keys.ts';
import type { Manner } from './hook-manners.ts';

/** An endpoint of webhooks that can be away for a while. */
export interface HookServer {
  readonly listen: () => Promise<void>;
  /** Cuts everybody off, and lets nobody in until it listens again. */
  readonly leave: () => Promise<void>;
  /** Resolves when the next request comes. */
  readonly visited: () => Promise<unknown>;
}

export interface HookServerDeps {
  readonly judge: (request: IncomingMessage, body: string, nowMs: number) => Judgement;
  readonly mannerAt: (nowMs: number) => Manner;
  /** Called once a request is dealt with. */
  readonly onRequest: (request: HookRequest) => void;
}

/** A coordinator gives a request up after this time, or a little sooner where its clock began before ours. */
const patienceMs = limits.webhookDeliveryMsMax - 1_000;

export function createHookServer(port: number, { judge, mannerAt, onRequest }: HookServerDeps): HookServer {
  const server = createServer((incoming, response) => void receive(incoming, response));

  async function receive(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(incoming).catch(() => undefined);
    if (body === undefined) return;
    const atMs = Date.now();
    const { isBelieved, ...judgement } = judge(incoming, body, atMs);
    const manner: Manner = isBelieved ? mannerAt(atMs) : { kind: 'refuse', status: 401 };
    const answer = await deal(response, manner);
    const id = String(incoming.headers['webhook-id']);
    const retryAfterMs = answer === 'refused with 429' && 'retryAfterMs' in manner ? manner.retryAfterMs : 0;
    onRequest({ ...{ id, body, atMs, answer, answeredMs: Date.now(), retryAfterMs }, ...judgement });
  }

  return {
    async listen() {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    },
    async leave() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
    visited: () => once(server, 'request'),
  };
}

async function deal(response: ServerResponse, manner: Manner): Promise<HookAnswer> {
  if (manner.kind === 'cut') {
    response.destroy();
    return 'cut';
  }
  if (manner.kind === 'refuse') {
    if (manner.status === 429) response.setHeader('retry-after', manner.retryAfterMs / 1_000);
    return (await isAnswered(response, manner.status)) ? `refused with ${manner.status}` : 'left';
  }
  const startMs = performance.now();
  if (manner.afterMs > 0) await Promise.race([once(response, 'close'), pause(manner.afterMs)]);
  if (await isAnswered(response, 204)) return 'taken';
  return performance.now() - startMs > patienceMs ? 'too late' : 'left';
}

/** Whether the answer was given before the connection was gone. */
async function isAnswered(response: ServerResponse, status: number): Promise<boolean> {
  if (response.destroyed) return false;
  const closed = once(response, 'close');
  response.writeHead(status).end();
  await closed;
  return response.writableFinished;
}
