import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';

/** A coordinator that is started again, as a supervisor would do it, until it serves. */
export interface StormCoordinator {
  /** Resolves when it serves. */
  readonly start: () => Promise<void>;
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Signals it and resolves with its exit code, or the signal, once it is gone. */
  readonly end: (signal: 'SIGTERM' | 'SIGKILL') => Promise<number | string>;
}

export interface StormCoordinatorOptions {
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
  /** A file descriptor. */
  readonly log: number;
  readonly interrupted: AbortSignal;
  /** It ended, and nobody had asked it to. */
  readonly onDeath: (how: string) => void;
}

export function stormCoordinator(options: StormCoordinatorOptions): StormCoordinator {
  const { program, env, log, interrupted, onDeath } = options;
  let child: ChildProcess | undefined;
  let isServing = false;

  async function startOnce(): Promise<boolean> {
    const started = spawn(process.execPath, ['--conditions=dstc-source', program, 'serve'], {
      stdio: ['ignore', 'ignore', log, 'ipc'],
      env: { PATH: process.env.PATH, ...env },
    });
    child = started;
    isServing = false;
    started.on('exit', (code, signal) => {
      if (isServing && child === started && !interrupted.aborted) onDeath(String(signal ?? code));
    });
    const ready = once(started, 'message').then(() => true);
    const gone = once(started, 'exit').then(() => false);
    isServing = await Promise.race([ready, gone]);
    return isServing;
  }

  return {
    async start() {
      // Without Postgres it ends again at once.
      while (!(await startOnce())) await pause(300, undefined, { signal: interrupted });
    },
    signal: (signal) => void child?.kill(signal),
    async end(signal) {
      isServing = false;
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return 'gone';
      const exit = once(child, 'exit');
      child.kill(signal);
      if (signal === 'SIGTERM') interrupted.addEventListener('abort', () => child?.kill('SIGKILL'), { once: true });
      const [code, by] = (await exit) as [number | null, string | null];
      return by ?? code ?? 'gone';
    },
  };
}
