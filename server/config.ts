import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { parse as parseYaml } from 'yaml';
import { type IssuerProfile, issuerMistakes } from './auth/issuer.ts';
import { checkIssuers } from './auth/issuer-schema.ts';
import { type NatsConfig, natsMistakes, readNats, type Setting } from './config-nats.ts';
import { limits } from './domain/limits.ts';
import { parseAddress } from './doors/door.ts';
import { type Network, parseNetwork } from './events/webhooks/addresses.ts';

/** Everything that an operator can set, checked and frozen. */
export interface Config extends NatsConfig {
  readonly grpcAddress: string;
  readonly httpAddress: string;
  readonly databaseUrl: string;
  readonly databaseConnections: number;
  readonly issuers: readonly IssuerProfile[];
  readonly policyFile: string;
  readonly tlsCertFile: string | undefined;
  readonly tlsKeyFile: string | undefined;
  readonly tlsClientCaFile: string | undefined;
  readonly corsOrigins: readonly string[];
  readonly leaseMs: number;
  readonly payloadBytesMax: number;
  readonly historyDays: number;
  readonly nodeName: string;
  /** The name of this installation: all nodes that share a database. */
  readonly cell: string;
  readonly webhookAllowHttp: boolean;
  readonly webhookAllowNetworks: readonly Network[];
  readonly logLevel: LogLevel;
}

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
type LogLevel = (typeof logLevels)[number];

/** Every mistake in the settings, told at once. */
export class ConfigError extends Error {
  readonly mistakes: readonly string[];

  constructor(mistakes: readonly string[]) {
    super(
      `the configuration has ${mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`}:\n- ${mistakes.join('\n- ')}`,
    );
    this.name = 'ConfigError';
    this.mistakes = mistakes;
  }
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the settings from the environment and, where that is silent, from the YAML file that `DSTC_CONFIG_FILE` names.
 * A key of the file is the variable's name in small letters without `dstc_`. Throws ConfigError with every mistake.
 */
export function readConfig(environment: Environment): Config {
  const mistakes: string[] = [];
  const file = readFile(environment.DSTC_CONFIG_FILE, mistakes);
  const known = new Set<string>(['issuers']);

  function setting<Value>(variable: string, parse: (text: string) => Value, byDefault: Value): Value {
    const key = variable.toLowerCase().replace(/^dstc_/, '');
    known.add(key);
    const text = environment[variable] ?? file[key];
    if (text === undefined || text === '') return byDefault;
    try {
      return parse(Array.isArray(text) ? text.join(',') : String(text));
    } catch (error) {
      mistakes.push(`${variable}: ${error instanceof Error ? error.message : error}`);
      return byDefault;
    }
  }
  function required(variable: string, about: string): string {
    const value = setting(variable, (text) => text, '');
    if (value === '') mistakes.push(`${variable}: is not set; ${about}`);
    return value;
  }

  const cell = setting(
    'DSTC_CELL',
    matching(/^[a-z0-9-]{1,63}$/, 'small letters, digits and hyphens, 63 at most'),
    'dstc',
  );
  const config: Config = {
    grpcAddress: setting('DSTC_GRPC_ADDRESS', address, '127.0.0.1:7420'),
    httpAddress: setting('DSTC_HTTP_ADDRESS', address, '127.0.0.1:7480'),
    databaseUrl: required('DATABASE_URL', 'such as postgres://dstc@db.example.com/dstc'),
    databaseConnections: setting('DSTC_DATABASE_CONNECTIONS', whole(2, 1_000), limits.databaseConnections),
    issuers: readIssuers(environment, file, setting, mistakes),
    policyFile: required('DSTC_POLICY_FILE', 'the file that says who may do what; see docs/security.md'),
    tlsCertFile: setting<string | undefined>('DSTC_TLS_CERT_FILE', (text) => text, undefined),
    tlsKeyFile: setting<string | undefined>('DSTC_TLS_KEY_FILE', (text) => text, undefined),
    tlsClientCaFile: setting<string | undefined>('DSTC_TLS_CLIENT_CA_FILE', (text) => text, undefined),
    corsOrigins: setting('DSTC_CORS_ORIGINS', list, []),
    leaseMs: setting('DSTC_LEASE_MS', whole(1_000, 3_600_000), limits.leaseMsDefault),
    payloadBytesMax: setting('DSTC_PAYLOAD_BYTES_MAX', whole(1, payloadBytesLimit), limits.payloadBytesMaxDefault),
    historyDays: setting('DSTC_HISTORY_DAYS', whole(1, 36_500), limits.historyDaysDefault),
    nodeName: setting('DSTC_NODE_NAME', (text) => text, `${hostname()}-${process.pid}`),
    cell,
    ...readNats(setting, { list, whole, oneOf, matching }, cell),
    webhookAllowHttp: setting('DSTC_WEBHOOK_ALLOW_HTTP', yesOrNo, false),
    webhookAllowNetworks: setting('DSTC_WEBHOOK_ALLOW_NETWORKS', (text) => list(text).map(parseNetwork), []),
    logLevel: setting('DSTC_LOG_LEVEL', oneOf(logLevels), 'info'),
  };

  if ((config.tlsCertFile === undefined) !== (config.tlsKeyFile === undefined)) {
    mistakes.push('DSTC_TLS_CERT_FILE and DSTC_TLS_KEY_FILE: set both or neither');
  }
  mistakes.push(...natsMistakes(config));
  for (const key of Object.keys(file)) if (!known.has(key)) mistakes.push(`${key}: is not a setting`);
  for (const name of Object.keys(environment)) {
    const isSetting = known.has(name.toLowerCase().replace(/^dstc_/, '')) || otherVariables.has(name);
    if (name.startsWith('DSTC_') && !isSetting) mistakes.push(`${name}: is not a setting`);
  }
  if (mistakes.length > 0) throw new ConfigError(mistakes);
  return Object.freeze(config);
}

/** A batch of payloads must fit into a message. */
const payloadBytesLimit = limits.messageBytesMax / 2;

/** Variables of the clients and of the one-command start, which a coordinator may well see. */
const otherVariables = new Set([
  'DSTC_CONFIG_FILE',
  'DSTC_ADDRESS',
  'DSTC_HTTP_URL',
  'DSTC_NAMESPACE',
  'DSTC_PROFILE',
  'DSTC_CA',
  'DSTC_CLIENT_ID',
  'DSTC_CLIENT_SECRET',
  'DSTC_TOKEN',
  'DSTC_PROFILE',
  'DSTC_CA',
  'DSTC_DEBUG',
  'DSTC_POSTGRES_PORT',
  'DSTC_ISSUER_PORT',
  'DSTC_NATS_PORT',
]);

function readIssuers(
  environment: Environment,
  file: Readonly<Record<string, unknown>>,
  setting: Setting,
  mistakes: string[],
): readonly IssuerProfile[] {
  const issuer = setting('DSTC_ISSUER', (text) => text, '');
  const audience = setting('DSTC_AUDIENCE', (text) => text, 'dstc');
  const single = issuer === '' ? [] : [{ issuer, audience }];
  // A list that DSTC_ISSUER takes the place of is read as well: a mistake in it is one.
  const list = checkIssuers('issuers' in file ? file.issuers : [], audience);
  if ('mistakes' in list) {
    mistakes.push(...list.mistakes);
    return single;
  }
  const issuers = environment.DSTC_ISSUER === undefined ? [...single, ...list.issuers] : single;
  mistakes.push(...issuerMistakes(issuers).map((mistake) => `DSTC_ISSUER: ${mistake}`));
  return issuers;
}

function readFile(path: string | undefined, mistakes: string[]): Readonly<Record<string, unknown>> {
  if (path === undefined || path === '') return {};
  try {
    const content: unknown = parseYaml(readFileSync(path, 'utf8'));
    if (typeof content === 'object' && content !== null && !Array.isArray(content)) return { ...content };
    mistakes.push(`DSTC_CONFIG_FILE: ${path} holds no settings`);
  } catch (error) {
    mistakes.push(`DSTC_CONFIG_FILE: ${path}: ${error instanceof Error ? error.message : error}`);
  }
  return {};
}

function address(text: string): string {
  parseAddress(text);
  return text;
}

function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new Error(`${JSON.stringify(text)} is not a whole number from ${min} to ${max}`);
  };
}

function oneOf<Choice extends string>(choices: readonly Choice[]): (text: string) => Choice {
  return (text) => {
    const choice = choices.find((candidate) => candidate === text);
    if (choice !== undefined) return choice;
    throw new Error(`${JSON.stringify(text)} is none of ${choices.join(', ')}`);
  };
}

function matching(pattern: RegExp, about: string): (text: string) => string {
  return (text) => {
    if (pattern.test(text)) return text;
    throw new Error(`${JSON.stringify(text)} is not ${about}`);
  };
}

function yesOrNo(text: string): boolean {
  return oneOf(['true', 'false'])(text) === 'true';
}

function list(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}
