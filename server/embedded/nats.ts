import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { NatsProgram } from './nats-program.ts';
import { checkPortIsFree } from './port.ts';
import { StartError } from './start-error.ts';
import { stopWhenWeDie } from './watchdog.ts';

export interface EmbeddedNatsOptions {
  readonly program: NatsProgram;
  /** Made when it is not there. Holds the configuration, the log and the streams. */
  readonly dataDir: string;
  /** On 127.0.0.1. */
  readonly port: number;
  /** What clients show; undefined lets everybody in. */
  readonly token?: string;
  /** More of the configuration, in the form of nats-server. */
  readonly more?: string;
}

export interface EmbeddedNats {
  readonly address: string;
  /** Resolves when the server has ended, asked to or not. */
  readonly ended: Promise<void>;
  /** Ends it as a lost machine would. */
  readonly kill: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

const readyMsMax = 15_000;
const stopMsMax = 5_000;

/**
 * Starts a nats-server with JetStream. One that a killed start left behind is ended first.
 *
 * @throws StartError with what to do about it
 */
export async function startEmbeddedNats({
  program,
  dataDir,
  port,
  token,
  more = '',
}: EmbeddedNatsOptions): Promise<EmbeddedNats> {
  await mkdir(dataDir, { recursive: true });
  const [configFile, pidFile, logFile] = [join(dataDir, 'nats.conf'), join(dataDir, 'pid'), join(dataDir, 'nats.log')];
  await stopLeftover(pidFile, configFile);
  await checkPortIsFree({ host: '127.0.0.1', port, user: 'the embedded NATS', variable: 'DSTC_NATS_PORT' });
  const lines = [
    `listen: "127.0.0.1:${port}"`,
    `jetstream { store_dir: ${JSON.stringify(join(dataDir, 'store'))} }`,
    `pid_file: ${JSON.stringify(pidFile)}`,
    ...(token === undefined ? [] : [`authorization { token: ${JSON.stringify(token)} }`]),
    more,
  ];
  await writeFile(configFile, lines.join('\n'), { mode: 0o600 });

  const log = openSync(logFile, 'a', 0o600);
  // Its own process group: a Ctrl-C at the terminal reaches the starter alone, which stops its parts in order.
  const child = spawn(program.file, ['-c', configFile], { stdio: ['ignore', log, log], detached: true });
  closeSync(log);
  const kill = () => void child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });
  const watchdog = stopWhenWeDie(child.pid, 'TERM', undefined);
  // It must not outlive the server: the process id could be somebody else's then.
  void ended.then(() => {
    process.off('exit', kill);
    watchdog.kill('SIGKILL');
  });

  if (!(await isReady(port, ended))) {
    kill();
    await ended;
    throw new StartError(`nats-server has not come up on 127.0.0.1:${port}; its log is ${logFile}`);
  }
  return {
    address: `127.0.0.1:${port}`,
    ended,
    async kill() {
      kill();
      await ended;
    },
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(kill, stopMsMax);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Ready to serve is one that says it has JetStream. */
async function isReady(port: number, ended: Promise<void>): Promise<boolean> {
  let hasEnded = false;
  void ended.then(() => {
    hasEnded = true;
  });
  for (const giveUpMs = performance.now() + readyMsMax; !hasEnded && performance.now() < giveUpMs; ) {
    if ((await firstLine(port)).includes('"jetstream":true')) return true;
    await pause(25);
  }
  return false;
}

/** What the server says first, which tells what it is; empty when nobody answers. */
async function firstLine(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  try {
    const [bytes] = await once(socket, 'data', { signal: AbortSignal.timeout(1_000) });
    return String(bytes);
  } catch {
    return '';
  } finally {
    socket.destroy();
  }
}

/** A process with the id of one that was ours is ended only when it runs with our configuration. */
async function stopLeftover(pidFile: string, configFile: string): Promise<void> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => ''));
  if (!Number.isSafeInteger(pid) || pid <= 1) return;
  while ((await commandOf(pid)).includes(configFile)) {
    process.kill(pid, 'SIGTERM');
    await pause(50);
  }
  await rm(pidFile, { force: true });
}

/** Empty when there is no such process. */
async function commandOf(pid: number): Promise<string> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'args=', '-p', String(pid)]).catch(() => ({ stdout: '' }));
  return stdout;
}
