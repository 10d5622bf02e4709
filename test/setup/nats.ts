import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type EmbeddedNats, startEmbeddedNats } from '../../server/embedded/nats.ts';
import { findNatsProgram, type NatsProgram, natsProgram } from '../../server/embedded/nats-program.ts';
import { freePort } from './free-port.ts';
import { temporaryDirectory } from './temporary-directory.ts';

/** What is built from source where there is no nats-server. */
const builtVersion = 'v2.15.3';

/** A real NATS server of the test's own, with JetStream. */
export interface TestNats {
  readonly program: NatsProgram;
  readonly port: number;
  readonly url: string;
  /** Ends it at once. */
  readonly kill: () => Promise<void>;
  /** Starts it again on the same port, with what it had stored or with another store. */
  readonly restart: (store?: 'emptied' | 'saved') => Promise<void>;
  /** Puts a copy of the store aside. Ends the server. */
  readonly save: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

export interface TestNatsOptions {
  readonly program: NatsProgram;
  readonly token?: string;
  readonly more?: string;
}

/**
 * The nats-server of this machine: of `NATS_SERVER_BIN`, of the PATH, built by an earlier run, or built now where there
 * is Go. Undefined where there is none; in CI that is an error.
 */
export async function testNatsProgram(): Promise<NatsProgram | undefined> {
  const found = (await findNatsProgram(process.env)) ?? (await builtProgram());
  if (found === undefined && process.env.CI !== undefined) {
    throw new Error('there is no nats-server and no Go to build one; set NATS_SERVER_BIN');
  }
  return found;
}

/** The same, and an older one where `NATS_SERVER_OLD_BIN` names it. */
export async function testNatsPrograms(): Promise<readonly NatsProgram[]> {
  const found = await testNatsProgram();
  const old = process.env.NATS_SERVER_OLD_BIN;
  return [
    ...(found === undefined ? [] : [found]),
    ...(old === undefined || old === '' ? [] : [await natsProgram(old)]),
  ];
}

export async function startTestNats({ program, ...options }: TestNatsOptions): Promise<TestNats> {
  const dataDir = await temporaryDirectory();
  const port = await freePort();
  const start = () => startEmbeddedNats({ program, dataDir, port, ...options });
  let server: EmbeddedNats = await start();
  return {
    program,
    port,
    url: `nats://127.0.0.1:${port}`,
    kill: () => server.kill(),
    async restart(store) {
      await server.kill();
      if (store !== undefined) await rm(join(dataDir, 'store'), { recursive: true, force: true });
      if (store === 'saved') await cp(join(dataDir, 'saved'), join(dataDir, 'store'), { recursive: true });
      server = await start();
    },
    async save() {
      await server.stop();
      await cp(join(dataDir, 'store'), join(dataDir, 'saved'), { recursive: true });
    },
    async stop() {
      await server.kill();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function builtProgram(): Promise<NatsProgram | undefined> {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'dstc');
  const file = join(cache, `nats-server-${builtVersion}`);
  const earlier = await natsProgram(file).catch(() => undefined);
  if (earlier !== undefined) return earlier;
  const run = promisify(execFile);
  const hasGo = await run('go', ['version']).then(
    () => true,
    () => false,
  );
  if (!hasGo) return undefined;
  await mkdir(cache, { recursive: true });
  // Two that build at the same time both bring what the other one brings.
  const folder = await mkdtemp(join(cache, 'build-'));
  try {
    process.stderr.write(`building nats-server ${builtVersion}, once for this machine …\n`);
    const env = { ...process.env, GOBIN: folder };
    await run('go', ['install', `github.com/nats-io/nats-server/v2@${builtVersion}`], { env, cwd: folder });
    await rename(join(folder, 'nats-server'), file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return natsProgram(file);
}
