import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';

export interface ChildOptions {
  /** For people. */
  readonly name: string;
  /** The file to run, and its arguments. */
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Begins anew. */
  readonly logFile: string;
  /** Modules to load first. */
  readonly imports?: readonly string[];
}

/** A process of ours. It ends by itself when this one does, because its channel to us is closed then. */
export interface Child {
  readonly name: string;
  readonly pid: number | undefined;
  /** The first message that it sends over its channel; undefined when it ended without one. */
  readonly firstMessage: Promise<unknown>;
  /** Resolves when it has ended: with how and with the last of its log, or undefined when `stop` was asked for. */
  readonly ended: Promise<string | undefined>;
  /** Asks it to end, and ends it when it takes too long. */
  stop(graceMs: number): Promise<void>;
}

const logLinesShown = 20;

/** Runs a TypeScript file with this Node in a process of its own. */
export function startChild({ name, args, env, logFile, imports = [] }: ChildOptions): Child {
  const log = openSync(logFile, 'w', 0o600);
  const flags = [...process.execArgv, ...imports.flatMap((file) => ['--import', file])];
  const child = spawn(process.execPath, [...flags, ...args], {
    env,
    stdio: ['ignore', log, log, 'ipc'],
    // Its own process group: a Ctrl-C at the terminal reaches the starter alone, which stops its parts in order.
    detached: true,
  });
  closeSync(log);
  let stopping = false;
  const kill = () => {
    stopping = true;
    child.kill('SIGKILL');
  };
  // Whatever ends this process early must not leave children to end in their own time.
  process.once('exit', kill);
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`could not be run: ${error.message}`));
    child.once('exit', (code, signal) => resolve(signal === null ? `ended with ${code}` : `was ended by ${signal}`));
  });
  void exited.then(() => process.off('exit', kill));
  const message = once(child, 'message').then(([first]: unknown[]) => first);
  // When the process cannot be run at all; `ended` tells.
  message.catch(() => undefined);
  return {
    name,
    pid: child.pid,
    firstMessage: Promise.race([message, exited.then(() => undefined)]),
    ended: exited.then(async (how) => (stopping ? undefined : `${name} ${how}\n${await lastLines(logFile)}`)),
    async stop(graceMs) {
      stopping = true;
      child.kill('SIGTERM');
      const timer = new AbortController();
      const expired = pause(graceMs, 'expired', { signal: timer.signal }).catch(() => undefined);
      if ((await Promise.race([exited, expired])) === 'expired') child.kill('SIGKILL');
      timer.abort();
      await exited;
    },
  };
}

/** What a process said last, for a report of its end. */
async function lastLines(logFile: string): Promise<string> {
  const lines = (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(-logLinesShown);
  return `${lines.map((line) => `  | ${line}`).join('\n')}\n  (all of it: ${logFile})`;
}
