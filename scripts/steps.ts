import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** One thing that must hold; throws, or resolves with false, when it does not. */
export interface Step {
  readonly title: string;
  run(): Promise<boolean>;
}

const repository = fileURLToPath(new URL('..', import.meta.url));

/** A program of the dependencies, by its name in node_modules/.bin. */
export function tool(
  name: string,
  args: readonly string[],
  title = `${name} ${args.slice(0, 1).join('')}`.trim(),
): Step {
  return { title, run: () => succeeds(name, args) };
}

/** Runs a program of the dependencies. */
export function succeeds(name: string, args: readonly string[]): Promise<boolean> {
  return scriptSucceeds(join('node_modules', '.bin', name), args);
}

/** Runs a script of the repository with this Node and this terminal. */
export function scriptSucceeds(script: string, args: readonly string[]): Promise<boolean> {
  const file = join(repository, script);
  const child = spawn(process.execPath, [file, ...args], { cwd: repository, stdio: 'inherit' });
  const forward = (signal: NodeJS.Signals) => child.kill(signal);
  process.on('SIGTERM', forward);
  // A terminal's Ctrl-C reaches the child by itself; this process stays to see how it ends.
  const stay = () => undefined;
  process.on('SIGINT', stay);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => {
      process.off('SIGTERM', forward);
      process.off('SIGINT', stay);
      resolve(code === 0);
    });
  });
}

/** Runs the steps in order up to the first that fails, prints how long each took, and tells whether all held. */
export async function runSteps(steps: readonly Step[]): Promise<boolean> {
  const lines: string[] = [];
  let held = true;
  for (const step of steps) {
    const started = performance.now();
    held = await step.run();
    const seconds = ((performance.now() - started) / 1_000).toFixed(1);
    lines.push(`${held ? 'ok    ' : 'FAILED'}  ${seconds.padStart(6)} s  ${step.title}`);
    if (!held) break;
  }
  const left = steps.slice(lines.length).map((step) => `not run          ${step.title}`);
  console.log(`\n${[...lines, ...left].join('\n')}\n`);
  return held;
}
