import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createUser } from '@nats-io/nkeys';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NatsSettings } from '../../server/events/nats-settings.ts';
import { writeTestCertificate } from '../setup/certificate.ts';
import { startTestNats, type TestNats, testNatsProgram } from '../setup/nats.ts';
import { createNatsOperator } from '../setup/nats-credentials.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { able, connected, messageOf, publish } from './bus-suite.ts';
import { type BusNode, natsHints, natsNode } from './nats-rig.ts';

const program = await testNatsProgram();

describe.skipIf(program === undefined)('a node reaches NATS', () => {
  let directory: string;
  let nats: TestNats;
  let node: BusNode;

  beforeEach(async () => {
    directory = await temporaryDirectory();
  });
  afterEach(async () => {
    await node.bus.close();
    await nats.stop();
    await rm(directory, { recursive: true, force: true });
  });

  async function start(more: string, settings: Partial<NatsSettings>): Promise<void> {
    if (program === undefined) throw new Error('there is no nats-server');
    nats = await startTestNats({ program, more });
    node = natsNode(nats, settings);
  }

  async function expectPublished(): Promise<void> {
    await able(node.bus);
    await publish(node.bus, messageOf('a:1'));
    expect(node.bus.counts.published).toBe(1);
  }

  it('with a token', async () => {
    await start('authorization { token: "s3cret" }', { token: 's3cret' });
    await expectPublished();
  });

  it('with user and password, and with no more rights than the docs say', async () => {
    const rights = `publish: ["dstc.>", "DSTC_HINTS.dstc", "$JS.API.STREAM.INFO.dstc", "$JS.API.STREAM.CREATE.dstc",
      "$JS.API.STREAM.MSG.GET.dstc"], subscribe: ["_INBOX.>", "DSTC_HINTS.dstc"]`;
    const user = `{ user: "node", password: "s3cret", permissions: { ${rights} } }`;
    const access = { user: 'node', password: 's3cret' };
    await start(`authorization { users: [${user}] }`, access);
    await expectPublished();
    await publish(node.bus, messageOf('a:1'));
    expect(node.bus.counts.duplicates).toBe(1);
    const channels = [natsHints(nats, access), natsHints(nats, access)] as const;
    await connected(channels);
    await Promise.all(channels.map((channel) => channel.close()));
  });

  it('with the NKey of a file', async () => {
    const key = createUser();
    const nkeyFile = join(directory, 'seed');
    await writeFile(nkeyFile, `${Buffer.from(key.getSeed()).toString()}\n`, { mode: 0o600 });
    await start(`authorization { users: [{ nkey: ${key.getPublicKey()} }] }`, { nkeyFile });
    await expectPublished();
  });

  it('with the credentials file of an account, which is read again for every connection', async () => {
    const operator = createNatsOperator();
    const credentialsFile = join(directory, 'user.creds');
    await writeFile(credentialsFile, operator.credentials.replace(/^ey/m, 'broken'), { mode: 0o600 });
    await start(operator.configuration, { credentialsFile });
    await node.logged('NATS is away');
    await writeFile(credentialsFile, operator.credentials);
    await expectPublished();
  });

  it('over TLS, with a certificate of its own', async () => {
    const { certFile, keyFile } = await writeTestCertificate(directory);
    const files = `cert_file: "${certFile}", key_file: "${keyFile}", ca_file: "${certFile}", verify: true`;
    await start(`tls { ${files} }`, { hasTls: true, caFile: certFile, certFile, keyFile });
    await expectPublished();
  });

  it('not with wrong credentials, says so, and does not give up', async () => {
    await start('authorization { token: "s3cret" }', { token: 'wrong' });
    await node.logged('NATS is away');
    expect(node.bus.isAble()).toBe(false);
  });

  it('not over TLS with an authority that it does not know', async () => {
    const [served, trusted] = [await writeTestCertificate(directory), await writeTestCertificate(directory, 'other')];
    await start(`tls { cert_file: "${served.certFile}", key_file: "${served.keyFile}" }`, {
      ...{ hasTls: true, caFile: trusted.certFile },
    });
    await node.logged('NATS is away');
    expect(node.bus.isAble()).toBe(false);
  });
});
