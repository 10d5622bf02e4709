import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** A program of an example that runs. */
export interface RunningExample {
  readonly child: ChildProcess;
  /** Resolves once it has printed this. */
  printed(pattern: RegExp): Promise<void>;
  /** Its exit code and all that it printed. */
  readonly ended: Promise<{ readonly code: number | null; readonly output: string }>;
}

/** Starts `examples/<file>` in a folder that has the `.dstc/dev.json` of a coordinator. */
export function startExample(file: string, args: readonly string[], folder: string): RunningExample {
  const path = fileURLToPath(new URL(`../../examples/${file}`, import.meta.url));
  const child = spawn(
    process.execPath,
    ['--conditions=dstc-source', '--disable-warning=ExperimentalWarning', path, ...args],
    {
      cwd: folder,
      env: { PATH: process.env.PATH },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (piece: string) => {
      output += piece;
    });
  }
  const ended = once(child, 'close').then(([code]) => ({ code, output }));
  return {
    child,
    ended,
    async printed(pattern) {
      while (!pattern.test(output)) {
        const over = await Promise.race([once(child.stdout, 'data').then(() => false), ended.then(() => true)]);
        if (over && !pattern.test(output)) throw new Error(`${file} ended without ${pattern}: ${output}`);
      }
    },
  };
}
