import type { IncomingMessage, ServerResponse } from 'node:http';
import { create, type DescMessage, type MessageShape, toJson } from '@bufbuild/protobuf';
import { PublishEventResponseSchema, PublishEventsResponseSchema } from '@dstc/contract/dstc/v1/event_service_pb';
import { type Caller, permissionMissing } from '../auth/caller.ts';
import { DstcError, fieldInvalid } from '../domain/errors.ts';
import { limits as domainLimits } from '../domain/limits.ts';
import { defaultNamespace, namespacePattern } from '../domain/namespace.ts';
import { validTraceParent } from '../domain/trace-parent.ts';
import { authenticate } from './bearer.ts';
import { cloudEventOfHeaders } from './convert/cloud-event-headers.ts';
import { cloudEventOfJson, readJson } from './convert/cloud-event-json.ts';
import { unaryDeadlineMs, untilAborted } from './deadline.ts';
import { deadlineExceeded, toDstcError } from './errors.ts';
import { readBody } from './http-body.ts';
import { sendError } from './http-error.ts';
import { endUnreadRequest } from './http-response.ts';
import type { HttpRpcDeps } from './http-rpc.ts';
import { namespaceWords } from './pattern-words.ts';
import type { EventIntake, Publisher } from './services/publish-events.ts';

/** Whether the request was for the place of events and is being answered. */
export type HttpEventsHandler = (request: IncomingMessage, response: ServerResponse) => boolean;

/** How an event, or several, stand in a request: the content modes of CloudEvents. */
type Mode = 'structured' | 'batched' | 'binary';

const place = /^\/v1\/events(?:\/([^/]*))?$/;
const methods = 'OPTIONS, POST';
const rpc = 'dstc.v1.EventService/PublishEvents';

/** Takes CloudEvents at `/v1/events/<namespace>`. */
export function createHttpEvents(deps: HttpRpcDeps, intake: EventIntake): HttpEventsHandler {
  return (request, response) => {
    const match = place.exec(request.url?.split('?', 1)[0] ?? '');
    if (match === null) return false;
    endUnreadRequest(request, response);
    if (request.method === 'OPTIONS') {
      consent(request, response);
      return true;
    }
    if (request.method !== 'POST') {
      response.setHeader('allow', methods);
      sendError(response, new DstcError('UNIMPLEMENTED', 'events are sent with POST'), 405);
      return true;
    }
    void serve(deps, intake, match[1] || defaultNamespace, request, response);
    return true;
  };
}

/**
 * Tells a sender that asks as "HTTP 1.1 Web Hooks for Event Delivery" 1.0 says (section 4) that it may send, and at any rate:
 * some send nothing unless they are told. It opens nothing, because every event needs a token.
 */
function consent({ headers }: IncomingMessage, response: ServerResponse): void {
  response.setHeader('allow', methods);
  const origin = headers['webhook-request-origin'];
  if (origin !== undefined) response.setHeader('webhook-allowed-origin', origin);
  if (headers['webhook-request-rate'] !== undefined) response.setHeader('webhook-allowed-rate', '*');
  response.writeHead(204).end();
}

async function serve(
  deps: HttpRpcDeps,
  intake: EventIntake,
  namespace: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const ended = new AbortController();
  const ms = unaryDeadlineMs(deps.limits, undefined);
  const deadline = setTimeout(() => ended.abort(deadlineExceeded()), ms);
  const onClose = () => ended.abort();
  const onStop = () => ended.abort(deps.stopped.reason);
  response.once('close', onClose);
  deps.stopped.addEventListener('abort', onStop);
  try {
    const answer = await untilAborted(ended.signal, async () => {
      // By the headers alone, before a byte of the body is read.
      const caller = await admit(deps, namespace, request);
      const mode = modeOf(request);
      const body = await readBody(request, { bytesMax: deps.limits.messageBytesMax, ms });
      const traceParent = validTraceParent(request.headersDistinct.traceparent?.[0]);
      return take(intake, { request, mode, body }, { caller, namespace, traceParent, signal: ended.signal });
    });
    sendJson(response, answer);
  } catch (error) {
    fail(response, toDstcError(deps, error, { rpc }));
  } finally {
    clearTimeout(deadline);
    response.off('close', onClose);
    deps.stopped.removeEventListener('abort', onStop);
  }
}

async function admit(deps: HttpRpcDeps, namespace: string, request: IncomingMessage): Promise<Caller> {
  const authorization = request.headersDistinct.authorization ?? [];
  const caller = await authenticate(deps.callers, authorization, { wantsJson: true });
  if (!namespacePattern.test(namespace)) {
    throw fieldInvalid('namespace', namespaceWords);
  }
  if (!caller.holdsAnywhere('submit', namespace) && !caller.holdsAnywhere('work', namespace)) {
    throw permissionMissing('submit', namespace);
  }
  return caller;
}

/** Refuses what cannot be read before it is read. */
function modeOf({ headers }: IncomingMessage): Mode {
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw new UnsupportedMedia('events are taken without a content-encoding');
  }
  const contentType = headers['content-type'] ?? '';
  const match = /^application\/cloudevents(-batch)?(?:\+([a-z0-9.-]+))?\s*(?:;(.*))?$/i.exec(contentType);
  if (match === null) return 'binary';
  const [, batch, format = 'json', parameters = ''] = match;
  const isUtf8 = parameters.trim() === '' || /^\s*charset="?utf-8"?\s*$/i.test(parameters);
  if (format.toLowerCase() !== 'json' || !isUtf8) {
    throw new UnsupportedMedia('events are taken as application/cloudevents+json in UTF-8, and in binary mode');
  }
  return batch === undefined ? 'structured' : 'batched';
}

/** HTTP has a status of its own for it. */
class UnsupportedMedia extends DstcError {
  constructor(message: string) {
    super('UNIMPLEMENTED', message);
  }
}

interface Received {
  readonly request: IncomingMessage;
  readonly mode: Mode;
  readonly body: Buffer;
}

async function take(intake: EventIntake, { request, mode, body }: Received, from: Publisher): Promise<Answer> {
  switch (mode) {
    case 'binary': {
      const event = await intake.publish(cloudEventOfHeaders(request.headersDistinct, body), from);
      return answer(PublishEventResponseSchema, create(PublishEventResponseSchema, { event }));
    }
    case 'structured': {
      const event = await intake.publish(cloudEventOfJson(readJson(body)), from);
      return answer(PublishEventResponseSchema, create(PublishEventResponseSchema, { event }));
    }
    case 'batched': {
      const items = readJson(body);
      if (!Array.isArray(items)) throw new DstcError('FIELD_INVALID', 'a batch is a JSON array of events');
      if (items.length > domainLimits.eventBatchMax) {
        throw fieldInvalid('events', `a batch has at most ${domainLimits.eventBatchMax} events`);
      }
      const results = await intake.publishAll(
        items.map((item: unknown) => () => cloudEventOfJson(item)),
        from,
      );
      return answer(PublishEventsResponseSchema, create(PublishEventsResponseSchema, { results }));
    }
  }
}

type Answer = Buffer;

/** The JSON of the RPC's answer, with what is empty or zero, so that every result has its index. */
function answer<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Answer {
  return Buffer.from(JSON.stringify(toJson(schema, message, { alwaysEmitImplicit: true })));
}

function sendJson(response: ServerResponse, body: Answer): void {
  if (response.destroyed) return;
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-length': body.byteLength,
    'cache-control': 'no-store',
  });
  response.end(body);
}

/** Statuses by which senders of events tell what is worth a repeat: what is too large or of a wrong type never is. */
function fail(response: ServerResponse, error: DstcError): void {
  if (response.headersSent || response.destroyed) return;
  if (error.retryDelayMs !== undefined) response.setHeader('retry-after', Math.ceil(error.retryDelayMs / 1_000));
  const isTooLarge = error.reason === 'MESSAGE_TOO_LARGE' || error.reason === 'PAYLOAD_TOO_LARGE';
  sendError(response, error, error instanceof UnsupportedMedia ? 415 : isTooLarge ? 413 : undefined);
}
