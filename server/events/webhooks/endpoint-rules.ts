import { isIP } from 'node:net';
import { fieldInvalid } from '../../domain/errors.ts';
import { type AddressCheck, isLocalName, localAddresses } from './addresses.ts';

/** What the operator allows of endpoints. */
export interface EndpointRules {
  readonly allowsHttp: boolean;
  readonly isAllowed: AddressCheck;
}

/** Refuses a URL that no request would be sent to. What a name stands for is checked again at each request. */
export function checkUrl(rules: EndpointRules, text: string): URL {
  const field = 'webhook.url';
  if (!URL.canParse(text)) throw fieldInvalid(field, 'is no URL');
  const url = new URL(text);
  if (url.protocol === 'http:' && !rules.allowsHttp) {
    throw fieldInvalid(field, 'must be https; an operator can allow http with DSTC_WEBHOOK_ALLOW_HTTP');
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw fieldInvalid(field, 'must be https');
  if (url.username !== '' || url.password !== '') {
    throw fieldInvalid(field, 'must not carry a user or a password; send them in an authorization header');
  }
  if (url.hash !== '') throw fieldInvalid(field, 'must not have a fragment');
  const host = hostOf(url);
  const isRefused =
    isIP(host) === 0 ? isLocalName(host) && localAddresses(rules.isAllowed).length === 0 : !rules.isAllowed(host);
  if (isRefused) throw fieldInvalid(field, addressRefused(host));
  return url;
}

/** Without the brackets of an IPv6 address. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

export function addressRefused(host: string): string {
  return `${host} is no address of the Internet; an operator can allow networks with DSTC_WEBHOOK_ALLOW_NETWORKS`;
}

/** What HTTP, the format and the signature set; also what a proxy would act on. */
const reservedHeaders =
  /^(connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|host|content-(length|type|encoding)|expect|webhook-.*)$/i;

/** Refuses headers that would change what a request is, and the same name twice. */
export function checkHeaders(
  headers: Readonly<Record<string, string>>,
  secret: Readonly<Record<string, string>>,
): void {
  const seen = new Set<string>();
  for (const [field, names] of [
    ['headers', Object.keys(headers)],
    ['secret_headers', Object.keys(secret)],
  ] as const) {
    for (const name of names) {
      const path = `webhook.${field}[${JSON.stringify(name)}]`;
      if (reservedHeaders.test(name)) throw fieldInvalid(path, 'is set by the coordinator');
      if (seen.has(name.toLowerCase())) throw fieldInvalid(path, 'is there twice');
      seen.add(name.toLowerCase());
    }
  }
}
