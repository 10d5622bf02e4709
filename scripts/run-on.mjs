import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { repository } from './repository.mjs';

/** What Node has compiled once: a coordinator takes half of the processor time to start that it takes without. */
const compiled = join(repository, 'node_modules', '.cache', 'compiled');

/** Runs a TypeScript file and resolves with its exit code. The files of the workspace resolve to their sources. */
export function runOn(node, args) {
  const flags = ['--conditions=dstc-source', '--disable-warning=ExperimentalWarning'];
  // The channel carries nothing: its end tells the entry that this process died, even by a signal that nobody can catch.
  const child = spawn(node, [...flags, ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { NODE_COMPILE_CACHE: compiled, ...process.env },
  });
  const forward = (signal) => {
    // A terminal's Ctrl-C reaches the whole process group, so the child has it already.
    if (signal === 'SIGINT' && process.stdin.isTTY) return;
    child.kill(signal);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, forward);
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('exit', (code, signal) => done(code ?? 128 + constants.signals[signal]));
  });
}
