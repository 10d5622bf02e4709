import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { isLocalName, localAddresses, type Resolve } from './addresses.ts';
import { addressRefused, type EndpointRules, hostOf } from './endpoint-rules.ts';

export interface HttpRequest {
  readonly method: 'POST' | 'PATCH';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** As much of it as is read. */
  readonly body: string;
}

/** No answer came; the message says why, to people who need not know the coordinator's network. */
export class RequestFailed extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'RequestFailed';
  }
}

/**
 * Sends requests to addresses that were checked, and to no others: each name is resolved here, once for each request, all
 * of its addresses must be allowed, and the connection goes to one of just these. Redirects are not followed, and no
 * proxy is used, whatever the environment says.
 */
export interface HttpClient {
  /** Rejects with RequestFailed, and when `signal` is aborted with its reason. */
  readonly send: (request: HttpRequest, signal: AbortSignal) => Promise<HttpAnswer>;
  readonly close: () => void;
}

export interface HttpClientOptions extends EndpointRules {
  readonly resolve: Resolve;
  readonly connectMsMax: number;
  readonly responseBytesMax: number;
}

/** Below the five seconds after which most servers close a connection that nothing comes on. */
const idleMsMax = 4_000;
const headerBytesMax = 16 * 1024;

export function createHttpClient(options: HttpClientOptions): HttpClient {
  // The timeout ends connections that nothing is sent on; requests have the time of their signal.
  const agentOptions = { keepAlive: true, maxFreeSockets: 4, timeout: idleMsMax };
  const agents = { http: new HttpAgent(agentOptions), https: new HttpsAgent(agentOptions) };

  async function addressesOf(url: URL): Promise<readonly string[]> {
    const host = hostOf(url);
    const addresses = isIP(host) === 0 ? await resolved(host) : [host];
    if (addresses.length === 0 || !addresses.every(options.isAllowed)) throw new RequestFailed(addressRefused(host));
    return addresses;
  }

  async function resolved(host: string): Promise<readonly string[]> {
    if (isLocalName(host)) return localAddresses(options.isAllowed);
    try {
      return await options.resolve(host);
    } catch (error) {
      throw new RequestFailed(`the name ${host} cannot be resolved (${codeOf(error)})`, error);
    }
  }

  async function send(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    const addresses = await unlessAborted(addressesOf(request.url), signal);
    const agent = request.url.protocol === 'https:' ? agents.https : agents.http;
    try {
      return await exchange(request, { addresses, agent }, signal);
    } catch (error) {
      // The server had closed the connection when the request went out, so that it never saw it. With one that has gone
      // away for a moment all the connections that were kept are like that.
      if (error instanceof StaleConnection) return exchange(request, { addresses, agent: false }, signal);
      throw error;
    }
  }

  function exchange(request: HttpRequest, { addresses, agent }: Way, signal: AbortSignal): Promise<HttpAnswer> {
    const { url, method, headers, body } = request;
    const isTls = url.protocol === 'https:';
    const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
    const outgoing = (isTls ? requestHttps : requestHttp)(url, {
      method,
      agent,
      lookup: lookupOf(addresses),
      maxHeaderSize: headerBytesMax,
      signal,
      headers: { ...headers, 'content-length': String(Buffer.byteLength(body)) },
    });
    let isAnswered = false;
    const fail = (error: unknown) => {
      if (signal.aborted) reject(signal.reason);
      else if (!isAnswered && outgoing.reusedSocket && codeOf(error) === 'ECONNRESET') reject(new StaleConnection());
      else
        reject(
          error instanceof RequestFailed ? error : new RequestFailed(`the request failed (${codeOf(error)})`, error),
        );
    };
    outgoing.once('socket', (socket) => {
      if (!socket.connecting) return;
      const timer = setTimeout(() => {
        outgoing.destroy(new RequestFailed(`no connection within ${options.connectMsMax / 1_000} s`));
      }, options.connectMsMax);
      socket.once(isTls ? 'secureConnect' : 'connect', () => clearTimeout(timer));
      socket.once('close', () => clearTimeout(timer));
    });
    outgoing.on('error', fail);
    outgoing.once('close', () => {
      if (!isAnswered) fail(new RequestFailed('the connection was closed before an answer came'));
    });
    outgoing.once('response', (response) => {
      isAnswered = true;
      readBody(response, options.responseBytesMax).then(
        (text) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
        fail,
      );
    });
    outgoing.end(body);
    return promise;
  }

  return {
    send,
    close() {
      agents.http.destroy();
      agents.https.destroy();
    },
  };
}

class StaleConnection extends Error {}

interface Way {
  readonly addresses: readonly string[];
  /** False: over a connection of its own. */
  readonly agent: HttpAgent | false;
}

/** Answers with what was resolved and checked; a second look at the name servers might find something else. */
function lookupOf(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_hostname, options, callback) => {
    const [first = { address: '', family: 4 }] = all;
    if (options.all) callback(null, all);
    else callback(null, first.address, first.family);
  };
}

/** The beginning of a body; of one that is longer the rest is not waited for. */
async function readBody(response: IncomingMessage, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    // Leaving the loop destroys the response, and its connection with it.
    if (bytes >= bytesMax) break;
  }
  return Buffer.concat(chunks).subarray(0, bytesMax).toString();
}

async function unlessAborted<Result>(promise: Promise<Result>, signal: AbortSignal): Promise<Result> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Such as ECONNREFUSED: enough to search for, and nothing of the coordinator's network. */
function codeOf(error: unknown): string {
  if (error instanceof AggregateError) return codeOf(error.errors[0]);
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return error instanceof Error ? error.name : 'unknown';
}
