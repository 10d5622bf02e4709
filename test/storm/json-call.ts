import { Agent, request } from 'node:https';

export interface JsonAnswer {
  /** `OK`, a code of the contract, or `UNREACHABLE` when there was no answer. */
  readonly code: string;
  readonly reason: string;
  readonly body: Record<string, unknown>;
  /** Until the answer was there. */
  readonly ms: number;
}

/** A call such as curl makes it: one request with JSON in and out, and a deadline that only the coordinator keeps. */
export type JsonCall = (
  to: { readonly http: string },
  method: string,
  body: object,
  options: { readonly token: string; readonly deadlineMs: number },
) => Promise<JsonAnswer>;

/** Who waits longer than `patienceMs` after the deadline gives up. */
export function createJsonCall(ca: string, patienceMs = 8_000): JsonCall {
  const agent = new Agent({ ca, keepAlive: true });
  return ({ http }, method, body, { token, deadlineMs }) =>
    new Promise((resolve) => {
      const startedMs = performance.now();
      const answer = (code: string, reason = '', parsed: Record<string, unknown> = {}) =>
        resolve({ code, reason, body: parsed, ms: performance.now() - startedMs });
      const call = request(
        `https://${http}/dstc.v1.${method}`,
        {
          agent,
          method: 'POST',
          headers: {
            authorization: `Bearer ${token}`,
            'content-type': 'application/json',
            'connect-timeout-ms': String(deadlineMs),
          },
          timeout: deadlineMs + patienceMs,
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', () => answer('UNREACHABLE'));
          response.on('end', () => {
            const parsed = JSON.parse(Buffer.concat(chunks).toString() || '{}') as Record<string, unknown>;
            if (response.statusCode === 200) answer('OK', '', parsed);
            else answer(String(parsed.code ?? response.statusCode).toUpperCase(), reasonOf(parsed), parsed);
          });
        },
      );
      call.on('timeout', () => call.destroy());
      call.on('error', () => answer('UNREACHABLE'));
      call.end(JSON.stringify(body));
    });
}

/** The reason stands in the ErrorInfo, which Connect shows in `debug` too. */
function reasonOf(body: Record<string, unknown>): string {
  const details = Array.isArray(body.details) ? (body.details as { type?: string; debug?: { reason?: string } }[]) : [];
  return details.find(({ type }) => type === 'google.rpc.ErrorInfo')?.debug?.reason ?? '';
}
