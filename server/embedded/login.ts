import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type Provider from 'oidc-provider';
import { loginPage, messagePage, pageHeaders } from './identity-pages.ts';
import { loginAttempts } from './login-attempts.ts';

/** The one person whom the embedded identity provider knows. */
export const person = 'operator';

export const loginPath = '/login/';

const bodyBytesMax = 4_096;

export interface LoginDeps {
  readonly provider: Provider;
  readonly password: string;
}

/** Handles our own page of the sign-in, to which the provider sends people, and from which they return to it. */
export function loginHandler({ provider, password }: LoginDeps) {
  const attempts = loginAttempts();
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const action = await openInteraction(provider, request, response);
    if (action === undefined) {
      return send(response, 400, messagePage('This sign-in has ended', 'Start again in your terminal.'));
    }
    if (request.method !== 'POST') return send(response, 200, loginPage(action));

    const address = request.socket.remoteAddress ?? '';
    if (attempts.isBlocked(address)) {
      response.setHeader('retry-after', '60');
      return send(response, 429, loginPage(action, 'Too many wrong passwords. Wait a minute and try again.'));
    }
    const form = await formOf(request);
    if (form?.get('name') !== person || !isSame(form.get('password') ?? '', password)) {
      attempts.failed(address);
      return send(response, 401, loginPage(action, 'That is not the user or not the password.'));
    }
    await provider.interactionFinished(request, response, { login: { accountId: person } });
  };
}

/** The address of the page, when the browser carries the cookie of a sign-in that is under way. */
async function openInteraction(provider: Provider, request: IncomingMessage, response: ServerResponse) {
  try {
    const { uid } = await provider.interactionDetails(request, response);
    return `${loginPath}${uid}`;
  } catch (error) {
    // The provider's word for a missing, expired or foreign cookie.
    if (error instanceof Error && error.name === 'SessionNotFound') return undefined;
    throw error;
  }
}

function isSame(given: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

async function formOf(request: IncomingMessage): Promise<URLSearchParams | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > bodyBytesMax) return undefined;
    chunks.push(chunk);
  }
  return new URLSearchParams(Buffer.concat(chunks).toString());
}

function send(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, pageHeaders).end(body);
}
