import { type CloudEventFormat, cloudEventFormats } from './events/cloud-event.ts';
import type { NatsSettings } from './events/nats-settings.ts';

/** How NATS is reached, and how the stream of all events is to be made. */
export interface NatsConfig {
  /** None without NATS: events stay in the database. */
  readonly natsUrl: readonly string[];
  readonly natsCredentialsFile: string | undefined;
  readonly natsNkeyFile: string | undefined;
  readonly natsToken: string | undefined;
  readonly natsUser: string | undefined;
  readonly natsPassword: string | undefined;
  readonly natsCaFile: string | undefined;
  readonly natsCertFile: string | undefined;
  readonly natsKeyFile: string | undefined;
  readonly natsStream: string;
  readonly natsReplicas: number;
  readonly natsRetentionHours: number;
  readonly natsMaxBytes: number;
  readonly natsEventFormat: CloudEventFormat;
}

/** How a setting is read: see `readConfig`. */
export type Setting = <Value>(variable: string, parse: (text: string) => Value, byDefault: Value) => Value;

export interface Parsers {
  readonly list: (text: string) => readonly string[];
  readonly whole: (min: number, max: number) => (text: string) => number;
  readonly oneOf: <Choice extends string>(choices: readonly Choice[]) => (text: string) => Choice;
  readonly matching: (pattern: RegExp, about: string) => (text: string) => string;
}

const hourMs = 3_600_000;
const retentionHoursDefault = 7 * 24;
const replicasMax = 5;

export function readNats(setting: Setting, { list, whole, oneOf, matching }: Parsers, cell: string): NatsConfig {
  const text = (variable: string) => setting<string | undefined>(variable, (value) => value, undefined);
  const name = matching(/^[A-Za-z0-9_-]{1,63}$/, 'letters, digits, hyphens and underscores, 63 at most');
  return {
    natsUrl: setting('NATS_URL', (urls) => list(urls).map(checkedUrl), []),
    natsCredentialsFile: text('DSTC_NATS_CREDENTIALS_FILE'),
    natsNkeyFile: text('DSTC_NATS_NKEY_FILE'),
    natsToken: text('DSTC_NATS_TOKEN'),
    natsUser: text('DSTC_NATS_USER'),
    natsPassword: text('DSTC_NATS_PASSWORD'),
    natsCaFile: text('DSTC_NATS_CA_FILE'),
    natsCertFile: text('DSTC_NATS_CERT_FILE'),
    natsKeyFile: text('DSTC_NATS_KEY_FILE'),
    natsStream: setting('DSTC_NATS_STREAM', name, cell),
    natsReplicas: setting('DSTC_NATS_REPLICAS', whole(1, replicasMax), 1),
    natsRetentionHours: setting('DSTC_NATS_RETENTION_HOURS', whole(0, 100_000), retentionHoursDefault),
    natsMaxBytes: setting('DSTC_NATS_MAX_BYTES', whole(0, Number.MAX_SAFE_INTEGER), 0),
    natsEventFormat: setting('DSTC_NATS_EVENT_FORMAT', oneOf(cloudEventFormats), 'binary'),
  };
}

export function natsMistakes(config: NatsConfig): string[] {
  const { natsCredentialsFile, natsNkeyFile, natsToken, natsUser, natsPassword, natsCertFile, natsKeyFile } = config;
  const found: string[] = [];
  const ways = [natsCredentialsFile, natsNkeyFile, natsToken, natsUser].filter((way) => way !== undefined);
  if (ways.length > 1) {
    found.push(
      'DSTC_NATS_CREDENTIALS_FILE, DSTC_NATS_NKEY_FILE, DSTC_NATS_TOKEN and DSTC_NATS_USER: set one of them at most',
    );
  }
  if ((natsUser === undefined) !== (natsPassword === undefined)) {
    found.push('DSTC_NATS_USER and DSTC_NATS_PASSWORD: set both or neither');
  }
  if ((natsCertFile === undefined) !== (natsKeyFile === undefined)) {
    found.push('DSTC_NATS_CERT_FILE and DSTC_NATS_KEY_FILE: set both or neither');
  }
  return found;
}

/** Undefined without NATS. */
export function natsSettings(config: NatsConfig): NatsSettings | undefined {
  if (config.natsUrl.length === 0) return undefined;
  const urls = config.natsUrl.map((url) => new URL(url));
  return {
    servers: urls.map((url) => `${url.hostname}:${url.port || '4222'}`),
    hasTls:
      urls.some((url) => url.protocol === 'tls:') ||
      config.natsCaFile !== undefined ||
      config.natsCertFile !== undefined,
    caFile: config.natsCaFile,
    certFile: config.natsCertFile,
    keyFile: config.natsKeyFile,
    credentialsFile: config.natsCredentialsFile,
    nkeyFile: config.natsNkeyFile,
    token: config.natsToken,
    user: config.natsUser,
    password: config.natsPassword,
    stream: config.natsStream,
    replicas: config.natsReplicas,
    maxAgeMs: config.natsRetentionHours * hourMs,
    maxBytes: config.natsMaxBytes,
    format: config.natsEventFormat,
  };
}

function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'nats:' && url.protocol !== 'tls:') || url.hostname === '') {
    throw new Error(`${JSON.stringify(text)} is not like nats://nats.example.com:4222 or tls://nats.example.com`);
  }
  // It would be seen in logs and in the list of processes.
  if (url.username !== '' || url.password !== '') {
    throw new Error('a URL holds no credentials; use DSTC_NATS_USER and DSTC_NATS_PASSWORD, or DSTC_NATS_TOKEN');
  }
  return text;
}
