import { createAccount, createOperator, createUser, type KeyPair } from '@nats-io/nkeys';

/** What an operator of NATS hands out: a server that trusts it, and a user's credentials as `nsc` writes them. */
export interface NatsOperator {
  /** For the configuration of a server. */
  readonly configuration: string;
  readonly credentials: string;
}

const unlimited = {
  ...{ subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 },
  ...{ mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 },
};

/** With an account that may use JetStream, and the system's own one, which JetStream needs. */
export function createNatsOperator(): NatsOperator {
  const [operator, system, account, user] = [createOperator(), createAccount(), createAccount(), createUser()];
  const operatorToken = sign(operator, operator, { type: 'operator', system_account: system.getPublicKey() });
  const systemToken = sign(operator, system, {
    type: 'account',
    limits: { ...unlimited, mem_storage: 0, disk_storage: 0 },
  });
  const accountToken = sign(operator, account, { type: 'account', limits: unlimited });
  const userToken = sign(account, user, { type: 'user', pub: {}, sub: {}, subs: -1, data: -1, payload: -1 });
  return {
    configuration: `operator: ${operatorToken}
      system_account: ${system.getPublicKey()}
      resolver: MEMORY
      resolver_preload: { ${system.getPublicKey()}: ${systemToken}, ${account.getPublicKey()}: ${accountToken} }`,
    credentials: `-----BEGIN NATS USER JWT-----
${userToken}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
${Buffer.from(user.getSeed())}
------END USER NKEY SEED------
`,
  };
}

function sign(issuer: KeyPair, subject: KeyPair, nats: Readonly<Record<string, unknown>>): string {
  const claims = {
    ...{ jti: crypto.randomUUID(), iat: Math.floor(Date.now() / 1_000), iss: issuer.getPublicKey() },
    ...{ name: 'test', sub: subject.getPublicKey(), nats: { ...nats, version: 2 } },
  };
  const body = [{ typ: 'JWT', alg: 'ed25519-nkey' }, claims].map(encode).join('.');
  return `${body}.${Buffer.from(issuer.sign(Buffer.from(body))).toString('base64url')}`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
