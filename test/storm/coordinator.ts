import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { isFree } from '../setup/free-port.ts';
import type { Stall } from './starvation.ts';

/** A coordinator that is started again, as a supervisor would do it, until it serves. */
export interface StormCoordinator {
  /** Resolves when it serves. Rejects when somebody else has a port of its own and keeps it. */
  readonly start: () => Promise<void>;
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Signals it and resolves with its exit code, or the signal, once it is gone. */
  readonly end: (signal: 'SIGTERM' | 'SIGKILL') => Promise<number | string>;
}

export interface StormCoordinatorOptions {
  readonly program: string;
  /** What it listens on. */
  readonly ports: readonly number[];
  readonly env: Readonly<Record<string, string>>;
  /** How far its clock is off. */
  readonly clockMs: number;
  /** A file descriptor. */
  readonly log: number;
  readonly interrupted: AbortSignal;
  /** It ended, and nobody had asked it to. */
  readonly onDeath: (how: string) => void;
  readonly onStall: (stall: Stall) => void;
}

/** One that ends so often before it serves will not serve, and its log says why. */
const startsMax = 50;
/** Whoever only looks whether a port is free has it for a moment. */
const takenTimesMax = 2;

export function stormCoordinator(options: StormCoordinatorOptions): StormCoordinator {
  const { program, ports, env, clockMs, log, interrupted, onDeath, onStall } = options;
  let child: ChildProcess | undefined;
  let isServing = false;

  async function startOnce(): Promise<boolean> {
    const { href: preload } = new URL('preload.ts', import.meta.url);
    const started = spawn(process.execPath, ['--conditions=dstc-source', '--import', preload, program, 'serve'], {
      stdio: ['ignore', 'ignore', log, 'ipc'],
      env: { PATH: process.env.PATH, STORM_CLOCK_MS: String(clockMs), ...env },
    });
    child = started;
    isServing = false;
    started.on('exit', (code, signal) => {
      if (isServing && child === started && !interrupted.aborted) onDeath(String(signal ?? code));
    });
    const ready = new Promise<boolean>((resolve) => {
      started.on(
        'message',
        (message: { readonly kind: 'ready' } | { readonly kind: 'stall'; readonly stall: Stall }) => {
          if (message.kind === 'ready') resolve(true);
          else onStall(message.stall);
        },
      );
    });
    const gone = once(started, 'exit').then(() => false);
    isServing = await Promise.race([ready, gone]);
    return isServing;
  }

  return {
    async start() {
      // Without Postgres it ends again after a while.
      let takenTimes = 0;
      for (let starts = 1; !(await startOnce()); starts += 1) {
        if (starts === startsMax) throw new Error(`a coordinator has ended ${starts} times instead of serving`);
        const taken = await firstTaken(ports);
        takenTimes = taken === undefined ? 0 : takenTimes + 1;
        if (takenTimes === takenTimesMax) throw new Error(`port ${taken} of a coordinator is taken by another program`);
        await pause(300, undefined, { signal: interrupted });
      }
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

async function firstTaken(ports: readonly number[]): Promise<number | undefined> {
  for (const port of ports) if (!(await isFree(port))) return port;
  return undefined;
}
