import { type Configuration, interactionPolicy, type KoaContextWithOIDC } from 'oidc-provider';
import { confidentialClients, type Identity } from './identity-file.ts';
import { codePage, confirmPage, messagePage, pageHeaders } from './identity-pages.ts';
import { identityStore } from './identity-store.ts';
import { loginPath } from './login.ts';

/** What access tokens say in `aud`. */
export const audience = 'dstc';
/** The public client of the command line. */
const deviceClient = 'dstc-cli';

// Resource indicators are URIs (RFC 8707); the audience that this one leads to is the plain name.
const resource = 'urn:dstc:coordinator';
const hourSeconds = 3_600;

/** How `oidc-provider` is set up: client credentials for programs, the device flow for people, signed tokens for both. */
export function identityConfiguration(identity: Identity, accessTokenSeconds: number): Configuration {
  return {
    adapter: identityStore(),
    // The declared type wants literal key types, which a file cannot promise.
    jwks: { keys: [identity.signingKey as never] },
    cookies: { keys: [identity.cookieKey] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    clients: [
      ...confidentialClients.map((name) => ({
        client_id: name,
        client_secret: identity.clientSecrets[name],
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      })),
      {
        client_id: deviceClient,
        client_name: 'The dstc command',
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    responseTypes: ['code'],
    scopes: ['openid', 'offline_access'],
    findAccount: (_context, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    // The command line is our own: a person who has signed in has nothing more to consent to.
    loadExistingGrant: grantAll,
    interactions: { policy: signInOnly(), url: (_context, interaction) => `${loginPath}${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      userinfo: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      deviceFlow: {
        enabled: true,
        userCodeInputSource: (context, _form, _out, error) =>
          show(context, codePage(xsrfOf(context), error && problemWithCode(error))),
        userCodeConfirmSource: (context, _form, client, _device, code) =>
          show(context, confirmPage({ xsrf: xsrfOf(context), code, client: client.clientName ?? client.clientId })),
        successSource: (context) =>
          show(context, messagePage('Signed in', 'You can close this page and go back to your terminal.')),
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: '',
          audience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: accessTokenSeconds,
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    ttl: {
      AccessToken: accessTokenSeconds,
      ClientCredentials: accessTokenSeconds,
      DeviceCode: 600,
      IdToken: hourSeconds,
      Interaction: 600,
      Session: hourSeconds,
      Grant: 14 * 24 * hourSeconds,
      RefreshToken: 14 * 24 * hourSeconds,
    },
    renderError: (context, out) => show(context, messagePage('That did not work', out.error_description ?? out.error)),
  };
}

function signInOnly() {
  const policy = interactionPolicy.base();
  policy.remove('consent');
  return policy;
}

async function grantAll(context: KoaContextWithOIDC) {
  const { session, client, provider } = context.oidc;
  if (session?.accountId === undefined || client === undefined) return undefined;
  const known = session.grantIdFor(client.clientId);
  const found = known === undefined ? undefined : await provider.Grant.find(known);
  if (found !== undefined) return found;
  const grant = new provider.Grant({ accountId: session.accountId, clientId: client.clientId });
  grant.addOIDCScope('openid offline_access');
  await grant.save();
  return grant;
}

function show(context: KoaContextWithOIDC, body: string): void {
  context.set(pageHeaders);
  context.body = body;
}

/** The provider keeps it in the session and compares it when the form comes back. */
function xsrfOf(context: KoaContextWithOIDC): string {
  const state: { readonly secret?: unknown } | undefined = context.oidc.session?.state;
  return typeof state?.secret === 'string' ? state.secret : '';
}

function problemWithCode(error: Error): string {
  switch (error.name) {
    case 'NoCodeError':
      return 'Enter the code.';
    case 'AbortedError':
      return 'The sign-in was cancelled.';
    case 'AlreadyUsedError':
      return 'That code was used already. Start again in your terminal.';
    case 'ExpiredError':
      return 'That code has expired. Start again in your terminal.';
    default:
      return 'That is not a code that anyone is waiting for.';
  }
}
