import { readFile } from 'node:fs/promises';
import { text as textOf } from 'node:stream/consumers';
import type { TokenSet } from '@dstc/sdk';
import { buildCommand } from '@stricli/core';
import type { ConnectionFlags } from '../connection.ts';
import type { CliContext } from '../context.ts';
import { formatDurationMs } from '../duration.ts';
import { UsageError } from '../exit.ts';
import { connectionFlags, textFlag } from '../flags.ts';
import { type Login, profileDefault, removeLogin, writeLogin } from '../login-store.ts';
import { paint } from '../output/shown.ts';

interface LoginFlags extends ConnectionFlags {
  readonly issuer?: string;
  readonly clientId?: string;
  readonly clientSecret?: string;
  readonly clientSecretFile?: string;
  readonly scope?: string;
  readonly audience?: string;
}

const clientIdDefault = 'dstc-cli';

/** `dstc login` */
export const login = buildCommand<LoginFlags, [], CliContext>({
  async func(flags) {
    const { env } = this.process;
    const { findDevProfile } = await import('@dstc/sdk');
    const dev = findDevProfile(this.process.cwd());
    const issuer = flags.issuer ?? env.DSTC_ISSUER ?? dev?.issuer;
    const address = flags.address ?? env.DSTC_ADDRESS ?? dev?.grpcAddress;
    if (issuer === undefined) throw new UsageError('name the identity provider with --issuer https://…');
    if (address === undefined) throw new UsageError('name the coordinator with --address host:port');
    const { scope, audience, namespace, ca, plaintext } = flags;
    const clientId = flags.clientId ?? clientIdDefault;
    const clientSecret = await secretOf(this, flags);
    if (clientSecret !== undefined && flags.clientId === undefined) {
      throw new UsageError('a client secret belongs to a client: name it with --client-id');
    }
    const common: Login = { address, namespace, ca, plaintext, issuer, clientId, clientSecret, audience, scope };
    const signedIn: Login =
      clientSecret === undefined ? { ...common, tokens: await signIn(this, common) } : await checkClient(common);
    const profile = flags.profile ?? env.DSTC_PROFILE ?? profileDefault;
    const path = await writeLogin(env, profile, signedIn);
    this.screen.err(
      `logged in to ${address} as ${clientSecret === undefined ? 'yourself' : clientId}; kept in ${path}`,
    );
  },
  parameters: {
    flags: {
      ...connectionFlags,
      issuer: textFlag('url', 'Identity provider (env DSTC_ISSUER)'),
      clientId: textFlag('id', `Client to log in with; ${clientIdDefault} when left out`),
      clientSecret: textFlag('secret', 'Log in as this client instead of a person; seen by others in the process list'),
      clientSecretFile: textFlag('file', 'The same from a file; - reads stdin'),
      scope: textFlag('scopes', 'Scopes to ask for'),
      audience: textFlag('name', 'Whom the tokens are for, where the identity provider wants to know'),
    },
  },
  docs: {
    brief: 'Log in, as a person or as a client',
    fullDescription: `Logs in and keeps the tokens for the other commands, readable by you alone.

Without a secret a person logs in: open the address that is shown in any browser, on any device, and enter the code.
With --client-id and a secret a service logs in by itself.

What other commands use, the first that is there:
  1. the flags --address, --namespace and --profile
  2. the environment: DSTC_ADDRESS, DSTC_NAMESPACE, DSTC_PROFILE; DSTC_TOKEN, or DSTC_ISSUER with DSTC_CLIENT_ID and
     DSTC_CLIENT_SECRET
  3. the login
  4. .dstc/dev.json of an embedded start, in this folder or above`,
  },
});

/** `dstc logout` */
export const logout = buildCommand<{ readonly profile?: string }, [], CliContext>({
  async func({ profile: named }) {
    const profile = named ?? this.process.env.DSTC_PROFILE ?? profileDefault;
    const existed = await removeLogin(this.process.env, profile);
    this.screen.err(existed ? `forgot the login "${profile}"` : `there was no login "${profile}"`);
  },
  parameters: { flags: { profile: connectionFlags.profile } },
  docs: { brief: 'Forget a login' },
});

async function secretOf({ process }: CliContext, flags: LoginFlags): Promise<string | undefined> {
  if (flags.clientSecret !== undefined) return flags.clientSecret;
  const { clientSecretFile: file } = flags;
  if (file === undefined) return undefined;
  const secret = file === '-' ? await textOf(process.stdin) : await readFile(file, 'utf8');
  return secret.trim();
}

async function signIn({ screen }: CliContext, login: Login): Promise<TokenSet> {
  const { deviceFlow } = await import('@dstc/sdk');
  const { issuer, clientId, audience, scope } = login;
  return deviceFlow({
    issuer,
    clientId,
    audience,
    scope,
    onPrompt({ verificationUri, verificationUriComplete, userCode, expiresInMs }) {
      const { bold } = screen.colors;
      screen.err(['Open ', paint(bold, verificationUri), ' in a browser and enter the code ', paint(bold, userCode)]);
      if (verificationUriComplete !== undefined) screen.err(`or open ${verificationUriComplete}`);
      screen.err(`The code is good for ${formatDurationMs(expiresInMs)}. Waiting…`);
    },
  });
}

/** A secret that does not work is better found now. */
async function checkClient(login: Login): Promise<Login> {
  const { clientCredentials } = await import('@dstc/sdk');
  const { issuer, clientId, clientSecret = '', audience, scope } = login;
  await clientCredentials({ issuer, clientId, clientSecret, audience, scope }).token();
  return login;
}
