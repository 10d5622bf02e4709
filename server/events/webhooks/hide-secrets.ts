import type { Endpoint } from '../../store/endpoint.ts';

type Secrets = Pick<Endpoint, 'secretHeaders' | 'format' | 'secret' | 'previousSecrets'>;

/** What an endpoint said without what it was told in confidence, for the eyes of people who may not see that. */
export function withoutSecrets(text: string, endpoint: Secrets): string {
  const spellings = [...new Set(secretsOf(endpoint).flatMap(spellingsOf))];
  // The longest first, so that one which is part of another leaves nothing of it.
  return spellings.sort((a, b) => b.length - a.length).reduce((left, secret) => left.replaceAll(secret, '…'), text);
}

function secretsOf({ secretHeaders, format, secret, previousSecrets }: Secrets): string[] {
  const signing = [secret, ...previousSecrets].map((bytes) => Buffer.from(bytes).toString('base64'));
  const token = format.kind === 'gitlab_pipeline' ? [format.token] : [];
  return [...Object.values(secretHeaders).flatMap(partsOf), ...token, ...signing].filter((value) => value !== '');
}

/** A header's value as it arrives, and its credentials without the scheme, such as the token of `Bearer <token>`. */
function partsOf(value: string): string[] {
  const [, credentials = ''] = /^\S+\s+(.+)$/.exec(value.trim()) ?? [];
  return [value.trim(), credentials];
}

/** Plain, in JSON and in a URL. */
function spellingsOf(value: string): string[] {
  return [value, JSON.stringify(value).slice(1, -1), encodeURIComponent(value)];
}
