import type { JSONWebKeySet } from 'jose';
import { type IssuerProfile, isTrustworthyUrl } from './issuer.ts';

const fetchMsMax = 5_000;
const documentBytesMax = 1024 * 1024;

/** The issuer's keys as they are now, by way of its discovery document unless the profile names the place. */
export async function fetchKeys(fetch: typeof globalThis.fetch, profile: IssuerProfile): Promise<JSONWebKeySet> {
  const signal = AbortSignal.timeout(fetchMsMax);
  const uri = profile.jwksUri ?? (await discover(fetch, profile.issuer, signal));
  const document = await fetchDocument(fetch, uri, signal);
  if (!Array.isArray(document.keys)) throw new Error(`${uri} is not a key set`);
  return { keys: document.keys };
}

async function discover(fetch: typeof globalThis.fetch, issuer: string, signal: AbortSignal): Promise<string> {
  const uri = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const document = await fetchDocument(fetch, uri, signal);
  // A document that speaks for another issuer could lead to another issuer's keys (RFC 8414, section 3.3).
  if (document.issuer !== issuer) throw new Error(`${uri} is of another issuer`);
  const { jwks_uri: jwksUri } = document;
  if (typeof jwksUri !== 'string' || !isTrustworthyUrl(jwksUri)) throw new Error(`${uri} names no usable jwks_uri`);
  return jwksUri;
}

async function fetchDocument(
  fetch: typeof globalThis.fetch,
  uri: string,
  signal: AbortSignal,
): Promise<Record<string, unknown>> {
  const response = await fetch(uri, { signal, redirect: 'error', headers: { accept: 'application/json' } });
  if (!response.ok || response.body === null) throw new Error(`${uri} answered ${response.status}`);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body) {
    bytes += chunk.byteLength;
    if (bytes > documentBytesMax) throw new Error(`${uri} answered more than ${documentBytesMax} bytes`);
    chunks.push(chunk);
  }
  const document: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  if (typeof document !== 'object' || document === null) throw new Error(`${uri} is not a JSON object`);
  return { ...document };
}
