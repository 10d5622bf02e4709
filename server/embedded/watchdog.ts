import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import type { Account } from './account.ts';
import { cleanEnvironment } from './run-program.ts';

/**
 * A shell that waits for the end of its input, which comes when this process is gone, even by a kill -9, and then stops
 * a server. Without it a killed test run would leave one behind.
 */
export function stopWhenWeDie(
  pid: number | undefined,
  signal: 'INT' | 'TERM',
  account: Account | undefined,
): ChildProcess {
  const watchdog = spawn(
    '/bin/sh',
    ['-c', 'while read -r _; do :; done; kill -s "$1" "$2"', 'sh', signal, String(pid)],
    {
      cwd: '/',
      env: cleanEnvironment(),
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      ...account,
    },
  );
  watchdog.unref();
  if (watchdog.stdin instanceof Socket) watchdog.stdin.unref();
  return watchdog;
}
