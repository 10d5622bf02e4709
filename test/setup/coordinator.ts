import { fileURLToPath } from 'node:url';
import { type Credentials, clientCredentials } from '@dstc/sdk';
import { pino } from 'pino';
import { readConfig } from '../../server/config.ts';
import { startCoordinator } from '../../server/coordinator.ts';
import type { ConfidentialClient } from '../../server/embedded/identity-file.ts';
import { createTestDatabase } from './database.ts';
import { startTestIdentityProvider, type TestIdentityProvider } from './identity-provider.ts';

export interface TestCoordinator {
  readonly grpcAddress: string;
  readonly httpUrl: string;
  readonly databaseUrl: string;
  readonly identity: TestIdentityProvider;
  readonly token: (client: ConfidentialClient) => Promise<string>;
  readonly credentials: (client: ConfidentialClient) => Credentials;
  /** Starts another node on the same database. */
  readonly startNode: (settings?: Record<string, string>) => Promise<TestNode>;
  readonly stop: () => Promise<void>;
}

export interface TestNode {
  readonly grpcAddress: string;
  readonly httpUrl: string;
  readonly drain: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

const policyFile = fileURLToPath(new URL('../../server/embedded/policy.yaml', import.meta.url));

/** A whole coordinator on free ports, with a database and an identity provider of its own. */
export async function startTestCoordinator(settings: Record<string, string> = {}): Promise<TestCoordinator> {
  const [database, identity] = await Promise.all([createTestDatabase(), startTestIdentityProvider()]);
  const nodes: TestNode[] = [];

  async function startNode(extra: Record<string, string> = {}): Promise<TestNode> {
    const config = readConfig({
      DATABASE_URL: database.url,
      DSTC_ISSUER: identity.issuer,
      DSTC_POLICY_FILE: policyFile,
      DSTC_GRPC_ADDRESS: '127.0.0.1:0',
      DSTC_HTTP_ADDRESS: '127.0.0.1:0',
      DSTC_NODE_NAME: `node-${nodes.length + 1}`,
      ...settings,
      ...extra,
    });
    const log = pino({ level: process.env.DSTC_TEST_LOG ?? 'silent' }, pino.destination(2));
    const coordinator = await startCoordinator(config, log);
    let stopped: Promise<void> | undefined;
    const node: TestNode = {
      grpcAddress: `127.0.0.1:${coordinator.grpcAddress.port}`,
      httpUrl: `http://127.0.0.1:${coordinator.httpAddress.port}`,
      drain: () => (stopped ??= coordinator.drain()),
      stop: () => (stopped ??= coordinator.stop()),
    };
    nodes.push(node);
    return node;
  }

  const first = await startNode();
  return {
    ...first,
    databaseUrl: database.url,
    identity,
    token: (client) => identity.token(client),
    credentials(client) {
      const { clientId, clientSecret } = identity.clients[client];
      return clientCredentials({ issuer: identity.issuer, clientId, clientSecret });
    },
    startNode,
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()));
      await Promise.all([database.drop(), identity.stop()]);
    },
  };
}
