import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Account } from './account.ts';
import { hasErrorCode } from './error-code.ts';
import type { PostgresPlace } from './postgres-place.ts';
import type { PostgresPrograms } from './postgres-programs.ts';
import { cleanEnvironment, runProgram } from './run-program.ts';
import { StartError } from './start-error.ts';
import { stopWhenWeDie } from './watchdog.ts';

export interface PostmasterDeps {
  readonly place: PostgresPlace;
  readonly programs: PostgresPrograms;
  readonly account: Account | undefined;
  readonly logFile: string;
}

/** A running Postgres server process. */
export interface Postmaster {
  /** Ends it in order, and by force when it takes too long. */
  stop(): Promise<void>;
  /** Resolves when the process has ended, asked to or not. */
  readonly ended: Promise<void>;
}

const startMsMax = 60_000;
const stopMsMax = 20_000;
const pollMs = 20;

/** Starts the server and resolves when it accepts connections; recovery after a crash is part of that. */
export async function startPostmaster(deps: PostmasterDeps, settings: readonly string[]): Promise<Postmaster> {
  const giveUp = AbortSignal.timeout(startMsMax);
  for (;;) {
    const { size } = await stat(deps.logFile).catch(() => ({ size: 0 }));
    const { child, ended } = await spawnPostgres(deps, settings);
    if (await isReady(deps, child, ended, giveUp)) return postmaster(deps, child, ended);
    await stopChild(child, ended);
    const said = (await readFile(deps.logFile)).subarray(size).toString().trim().split('\n').slice(-8).join('\n');
    // The last children of a server that was killed are on their way out.
    if (said.includes('shared memory block') && !giveUp.aborted) await pause(pollMs * 10);
    else throw new StartError(`Postgres did not start:\n${said}\nIts log is ${deps.logFile}.`);
  }
}

interface Spawned {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
}

async function spawnPostgres(deps: PostmasterDeps, settings: readonly string[]): Promise<Spawned> {
  const log = await open(deps.logFile, 'a', 0o600);
  try {
    // Its own session: a Ctrl-C at the terminal must reach the coordinator first, which then stops its database.
    const child = spawn(deps.programs.postgres, ['-D', deps.place.cluster, ...settings], {
      cwd: deps.place.directory,
      env: cleanEnvironment(),
      stdio: ['ignore', log.fd, log.fd],
      detached: true,
      ...deps.account,
    });
    const ended = new Promise<void>((resolve) => {
      child.once('error', () => resolve());
      child.once('exit', () => resolve());
    });
    return { child, ended };
  } finally {
    await log.close();
  }
}

function postmaster({ account }: PostmasterDeps, child: ChildProcess, ended: Promise<void>): Postmaster {
  const watchdog = stopWhenWeDie(child.pid, 'INT', account);
  // It must not outlive Postgres: the process id could be somebody else's then.
  void ended.then(() => watchdog.kill('SIGKILL'));
  child.unref();
  return {
    ended,
    async stop() {
      child.ref();
      await stopChild(child, ended);
    },
  };
}

/** Stops a server that an earlier process left running on this cluster, or clears the traces of one that was killed. */
export async function stopLeftover(deps: PostmasterDeps): Promise<void> {
  const pidFile = join(deps.place.cluster, 'postmaster.pid');
  const [pid] = await pidFileLines(pidFile);
  // The id may be somebody else's by now, and a signal to the wrong process is worse than a stale file.
  if (pid === undefined || !(await commandOf(Number(pid))).includes(deps.place.cluster)) return clearTraces(deps.place);
  const stop = (mode: string) =>
    runProgram(deps.programs.pgCtl, ['stop', '-D', deps.place.cluster, '-m', mode, '-w', '-t', '20'], {
      account: deps.account,
      cwd: deps.place.directory,
    });
  if ((await stop('fast')).exitCode === 0) return;
  const { exitCode, output } = await stop('immediate');
  const [remaining] = await pidFileLines(pidFile);
  if (exitCode !== 0 && remaining !== undefined) {
    throw new StartError(`an earlier Postgres (process ${pid}) does not stop; end it and start again\n${output}`);
  }
}

/** Postgres itself takes a reused process id, or a zombie that nobody reaps, for a living server. */
async function clearTraces({ cluster, sockets }: PostgresPlace): Promise<void> {
  const names = (await readdir(sockets)).filter((name) => name.startsWith('.s.PGSQL.'));
  await Promise.all(
    [join(cluster, 'postmaster.pid'), ...names.map((name) => join(sockets, name))].map((file) =>
      rm(file, { force: true }),
    ),
  );
}

async function isReady(deps: PostmasterDeps, child: ChildProcess, ended: Promise<void>, giveUp: AbortSignal) {
  const pidFile = join(deps.place.cluster, 'postmaster.pid');
  let running = true;
  void ended.then(() => {
    running = false;
  });
  while (running && !giveUp.aborted) {
    const lines = await pidFileLines(pidFile);
    // The first line is the server's process id, the eighth its state.
    if (Number(lines[0]) === child.pid && lines[7] === 'ready') return true;
    await pause(pollMs);
  }
  return false;
}

async function stopChild(child: ChildProcess, ended: Promise<void>): Promise<void> {
  // Fast: open transactions are rolled back. Immediate: recovery at the next start. Then the kernel.
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    const timer = new AbortController();
    await Promise.race([ended, pause(stopMsMax, undefined, { signal: timer.signal }).catch(() => undefined)]);
    timer.abort();
  }
}

async function pidFileLines(pidFile: string): Promise<readonly string[]> {
  try {
    return (await readFile(pidFile, 'utf8')).split('\n').map((line) => line.trim());
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return [];
    throw error;
  }
}

/** The command line of a process; empty when there is no such process. */
async function commandOf(pid: number): Promise<string> {
  if (!Number.isSafeInteger(pid) || pid <= 0) return '';
  try {
    if (process.platform === 'linux') return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ');
    return (await promisify(execFile)('ps', ['-ww', '-o', 'command=', '-p', String(pid)])).stdout;
  } catch {
    return '';
  }
}
