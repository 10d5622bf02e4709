import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ConfigError, readConfig } from '../../config.ts';
import { parseAddress } from '../../doors/door.ts';
import type { ClientSecret } from '../identity-provider.ts';
import { StartError } from '../start-error.ts';

/** The root of the repository. */
export const repository = fileURLToPath(new URL('../../..', import.meta.url));

export interface StartSettings {
  /** End when the example tasks have ended. */
  readonly once: boolean;
  readonly help: boolean;
  /** Holds `.dstc/`, and with it the profile that clients find from here and below. */
  readonly folder: string;
  readonly dataDir: string;
  readonly grpcAddress: string;
  readonly httpAddress: string;
  readonly issuerPort: number;
  readonly postgresPort: number;
  readonly natsPort: number;
  /** A NATS to use instead of one that is started here. */
  readonly natsUrl: string | undefined;
  /** Of a database to use instead of the embedded one. */
  readonly databaseUrl: string | undefined;
  /** An identity provider to use instead of the embedded one. */
  readonly issuer: ForeignIssuer | undefined;
}

export interface ForeignIssuer extends ClientSecret {
  readonly issuer: string;
  readonly policyFile: string;
}

export const usage = `usage: npm start [-- options]

Starts a database, an identity provider, a coordinator and example workers, and lets them do example tasks.

  --once           end when the example tasks have: with 0 if all ended as expected
  --folder DIR     keep data, logs and dev.json in DIR/.dstc instead of the repository's .dstc
  --help           this text

Environment: DSTC_GRPC_ADDRESS (127.0.0.1:7420), DSTC_HTTP_ADDRESS (127.0.0.1:7480), DSTC_ISSUER_PORT (7490),
DSTC_POSTGRES_PORT (7432), DSTC_NATS_PORT (7442); DATABASE_URL replaces the embedded database; NATS_URL replaces the nats-server
of NATS_SERVER_BIN or the PATH, which is started where there is one; DSTC_ISSUER with DSTC_CLIENT_ID, DSTC_CLIENT_SECRET
and DSTC_POLICY_FILE replaces the embedded identity provider.`;

/** Reads command line and environment; throws StartError with all mistakes at once. */
export function readSettings(args: readonly string[], env: NodeJS.ProcessEnv): StartSettings {
  const flags = parseFlags(args);
  const mistakes: string[] = [];
  const folder = resolve(flags.folder ?? repository);
  const address = (variable: string, byDefault: string) => {
    const text = env[variable] || byDefault;
    try {
      parseAddress(text);
    } catch (error) {
      mistakes.push(`${variable}: ${error instanceof Error ? error.message : error}`);
    }
    return text;
  };
  const port = (variable: string, byDefault: number) => {
    const text = env[variable] || String(byDefault);
    if (!/^\d+$/.test(text) || Number(text) < 1 || Number(text) > 65_535) {
      mistakes.push(`${variable}: ${JSON.stringify(text)} is not a port from 1 to 65535`);
    }
    return Number(text);
  };
  for (const variable of ['DSTC_TLS_CERT_FILE', 'DSTC_TLS_KEY_FILE', 'DSTC_TLS_CLIENT_CA_FILE']) {
    if (env[variable]) mistakes.push(`${variable}: the one-command start has no TLS; run npx dstc serve for that`);
  }
  const settings: StartSettings = {
    once: flags.once ?? false,
    help: flags.help ?? false,
    folder,
    dataDir: join(folder, '.dstc'),
    grpcAddress: address('DSTC_GRPC_ADDRESS', '127.0.0.1:7420'),
    httpAddress: address('DSTC_HTTP_ADDRESS', '127.0.0.1:7480'),
    issuerPort: port('DSTC_ISSUER_PORT', 7490),
    postgresPort: port('DSTC_POSTGRES_PORT', 7432),
    natsPort: port('DSTC_NATS_PORT', 7442),
    natsUrl: env.NATS_URL || undefined,
    databaseUrl: env.DATABASE_URL || undefined,
    issuer: foreignIssuer(env, mistakes),
  };
  mistakes.push(...coordinatorMistakes(env));
  if (mistakes.length > 0) throw new StartError(mistakes.join('\n'));
  return settings;
}

/** What the coordinator would refuse when everything else is up, with something in the place of what it gets from the start. */
function coordinatorMistakes(env: NodeJS.ProcessEnv): readonly string[] {
  const given = {
    DSTC_GRPC_ADDRESS: '127.0.0.1:7420',
    DSTC_HTTP_ADDRESS: '127.0.0.1:7480',
    DATABASE_URL: env.DATABASE_URL || 'postgres://127.0.0.1/dstc',
    DSTC_ISSUER: env.DSTC_ISSUER || 'http://127.0.0.1:7490',
    DSTC_POLICY_FILE: 'policy.yaml',
  };
  try {
    readConfig({ ...env, ...given });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes;
    throw error;
  }
}

function parseFlags(args: readonly string[]) {
  try {
    const options = {
      once: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
      folder: { type: 'string' },
    } as const;
    return parseArgs({ args: [...args], options, allowPositionals: false }).values;
  } catch (error) {
    throw new StartError(`${error instanceof Error ? error.message : error}\n\n${usage}`);
  }
}

function foreignIssuer(env: NodeJS.ProcessEnv, mistakes: string[]): ForeignIssuer | undefined {
  const { DSTC_ISSUER: issuer, DSTC_CLIENT_ID: clientId, DSTC_CLIENT_SECRET: clientSecret } = env;
  const policyFile = env.DSTC_POLICY_FILE;
  if (!issuer) {
    if (policyFile) mistakes.push('DSTC_POLICY_FILE: belongs to an identity provider of your own; set DSTC_ISSUER too');
    return undefined;
  }
  if (clientId && clientSecret && policyFile)
    return { issuer, clientId, clientSecret, policyFile: resolve(policyFile) };
  mistakes.push('DSTC_ISSUER: set DSTC_CLIENT_ID, DSTC_CLIENT_SECRET and DSTC_POLICY_FILE too, or none of them');
  return undefined;
}
