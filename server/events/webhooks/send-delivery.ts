import type { Endpoint } from '../../store/endpoint.ts';
import { factsOf } from './event-facts.ts';
import type { FormatRequest } from './formats/format.ts';
import { requestsOf } from './formats/formats.ts';
import { type HttpAnswer, type HttpClient, type HttpRequest, RequestFailed } from './http-client.ts';
import { failureOf, type Outcome } from './outcome.ts';
import { signatureHeaders } from './signature.ts';

export interface SendOptions {
  readonly deliveryMsMax: number;
  readonly retryAfterMsMax: number;
  readonly errorCharactersMax: number;
}

/** What is to be sent to an endpoint. */
export interface Message {
  readonly endpoint: Endpoint;
  readonly eventId: string;
  /** The CloudEvent in JSON. */
  readonly event: string;
  /** What its task is called in the other product; null while it is not called anything. */
  readonly externalId: string | null;
}

/** Sends everything that one delivery asks for. Rejects with the signal's reason when it is aborted, and otherwise never. */
export type SendDelivery = (message: Message, signal: AbortSignal) => Promise<Outcome>;

const userAgent = 'dstc-webhooks/1';

export function createSendDelivery({ client }: { readonly client: HttpClient }, options: SendOptions): SendDelivery {
  async function sendAll(message: Message, signal: AbortSignal): Promise<Outcome> {
    const { endpoint, externalId } = message;
    if (endpoint.format.kind === 'cloud_event') {
      const answer = await client.send(cloudEventRequest(message), signal);
      return (
        failureOf(answer, endpoint, options) ?? { is: 'taken', status: answer.status, externalId: null, remark: '' }
      );
    }
    let taken: Extract<Outcome, { is: 'taken' }> = { is: 'taken', status: null, externalId: null, remark: '' };
    for (const request of requestsOf(endpoint.format, factsOf(message.event), externalId)) {
      const answer = await client.send(productRequest(endpoint, request), signal);
      const failure = failureOf(answer, endpoint, options);
      const isTolerated = request.toleratedStatuses?.includes(answer.status) ?? false;
      if (failure !== undefined && !isTolerated) return failure;
      taken = {
        is: 'taken',
        status: answer.status,
        externalId: nameIn(request, answer) ?? taken.externalId,
        remark: failure?.error ?? taken.remark,
      };
    }
    return taken;
  }

  return async (message, signal) => {
    const timeout = AbortSignal.timeout(options.deliveryMsMax);
    try {
      return await sendAll(message, AbortSignal.any([signal, timeout]));
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (timeout.aborted) return failed(`no answer within ${options.deliveryMsMax / 1_000} s`);
      if (error instanceof RequestFailed) return failed(error.message);
      throw error;
    }
  };
}

function failed(error: string): Outcome {
  return { is: 'failed', status: null, error, retryAfterMs: 0 };
}

function cloudEventRequest({ endpoint, eventId, event }: Message): HttpRequest {
  const secrets = [endpoint.secret, ...endpoint.previousSecrets];
  return {
    method: 'POST',
    url: new URL(endpoint.url),
    headers: {
      ...headersOf(endpoint),
      'content-type': 'application/cloudevents+json; charset=utf-8',
      ...signatureHeaders(secrets, { id: eventId, body: event, sentMs: endpoint.readMs }),
    },
    body: event,
  };
}

function productRequest(endpoint: Endpoint, { method, path, headers, body }: FormatRequest): HttpRequest {
  return {
    method,
    url: below(endpoint.url, path),
    headers: { ...headersOf(endpoint), ...headers },
    body: JSON.stringify(body),
  };
}

/** Header names in small letters, so that one of people and one of a format do not stand side by side. */
function headersOf({ headers, secretHeaders }: Endpoint): Record<string, string> {
  const own = Object.entries({ ...headers, ...secretHeaders }).map(([name, value]) => [name.toLowerCase(), value]);
  return { 'user-agent': userAgent, ...Object.fromEntries(own) };
}

/** A path below that of a URL, whose query stays. */
function below(base: string, path: string): URL {
  const url = new URL(base);
  if (path !== '') url.pathname = `${url.pathname.replace(/\/+$/, '')}${path}`;
  return url;
}

function nameIn(request: FormatRequest, answer: HttpAnswer): string | undefined {
  if (request.nameIn === undefined) return undefined;
  try {
    return request.nameIn(JSON.parse(answer.body));
  } catch {
    // A body that was too long to be read, or none: the product has it, and it stays without a name here.
    return undefined;
  }
}
