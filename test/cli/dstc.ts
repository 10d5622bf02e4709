import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../../sdk/cli/bin/dstc.mjs', import.meta.url));

export interface DstcOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly stdin?: string | Uint8Array;
}

export interface DstcResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A `dstc` that runs. */
export interface RunningDstc {
  readonly child: ChildProcess;
  /** Resolves with the first match in what it has written to stderr so far, once there is one. */
  seen(pattern: RegExp): Promise<RegExpExecArray>;
  readonly ended: Promise<DstcResult>;
}

/** Starts the command as a user would, with nothing from this environment but what finds programs. */
export function startDstc(args: readonly string[], { env = {}, cwd, stdin }: DstcOptions = {}): RunningDstc {
  const child = spawn(process.execPath, [bin, ...args], {
    cwd,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const written = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    written.stdout += piece;
  });
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    written.stderr += piece;
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(stdin);
  const ended = once(child, 'close').then(([code]): DstcResult => ({ code, ...written }));
  return {
    child,
    ended,
    async seen(pattern) {
      for (;;) {
        const match = pattern.exec(written.stderr);
        if (match !== null) return match;
        const over = await Promise.race([once(child.stderr, 'data').then(() => false), ended.then(() => true)]);
        if (over && !pattern.test(written.stderr)) throw new Error(`dstc ended without ${pattern}: ${written.stderr}`);
      }
    },
  };
}

/** Runs the command to its end. */
export function dstc(args: readonly string[], options?: DstcOptions): Promise<DstcResult> {
  return startDstc(args, options).ended;
}
