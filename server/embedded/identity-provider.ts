import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import Provider from 'oidc-provider';
import { audience, identityConfiguration } from './identity-configuration.ts';
import { type ConfidentialClient, loadIdentity } from './identity-file.ts';
import { loginHandler, loginPath, person } from './login.ts';
import { checkPortIsFree } from './port.ts';

export interface IdentityProviderOptions {
  /** Made when it is not there; keeps keys and secrets, readable by this user alone. */
  readonly dataDir: string;
  /** Where it listens, and the host part of the issuer. */
  readonly host: string;
  readonly port: number;
  readonly log: (message: string) => void;
  /** How long an access token is good for. Default 15 minutes. */
  readonly accessTokenSeconds?: number;
}

export interface ClientSecret {
  readonly clientId: string;
  readonly clientSecret: string;
}

export interface EmbeddedIdentityProvider {
  readonly issuer: string;
  readonly audience: typeof audience;
  /** The programs that it knows; their tokens come by client credentials. */
  readonly clients: Readonly<Record<ConfidentialClient, ClientSecret>>;
  /** The person that it knows; signs in through the device flow. */
  readonly person: { readonly name: string; readonly password: string };
  stop(): Promise<void>;
}

/**
 * Starts an OpenID provider of our own, so that the first start has real tokens and there is no way without them. For
 * development: everyone else brings their own provider.
 *
 * @throws StartError with what to do about it
 */
export async function startIdentityProvider(options: IdentityProviderOptions): Promise<EmbeddedIdentityProvider> {
  const { host, port, log, accessTokenSeconds = 900 } = options;
  const identity = await loadIdentity(options.dataDir);
  await checkPortIsFree({ host, port, user: 'the embedded identity provider', variable: 'DSTC_ISSUER_PORT' });

  const issuer = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const provider = new Provider(issuer, identityConfiguration(identity, accessTokenSeconds));
  provider.on('server_error', (_context, error) =>
    log(`the identity provider failed: ${error.stack ?? error.message}`),
  );
  const login = loginHandler({ provider, password: identity.operatorPassword });
  const answer = provider.callback();

  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    if (!request.url?.startsWith(loginPath)) return void answer(request, response);
    login(request, response).catch((error: unknown) => {
      log(`the sign-in page failed: ${error instanceof Error ? error.stack : String(error)}`);
      response.headersSent ? response.destroy() : response.writeHead(500).end();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve());
  });
  log(`the identity provider listens on ${issuer}`);

  const client = (clientId: ConfidentialClient) => ({ clientId, clientSecret: identity.clientSecrets[clientId] });
  return {
    issuer,
    audience,
    clients: { producer: client('producer'), worker: client('worker'), operator: client('operator') },
    person: { name: person, password: identity.operatorPassword },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
