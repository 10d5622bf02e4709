import { spawn } from 'node:child_process';
import type { Account } from './account.ts';

export interface ProgramResult {
  /** undefined when it could not be run at all, or was ended by a signal. */
  readonly exitCode: number | undefined;
  /** The last of what it printed, or why it could not be run. */
  readonly output: string;
}

export interface ProgramOptions {
  readonly account: Account | undefined;
  /** A directory that the account can enter. */
  readonly cwd: string;
}

const outputCharactersMax = 8_192;

/** Runs a program to its end, as an account, and never throws. */
export function runProgram(file: string, args: readonly string[], options: ProgramOptions): Promise<ProgramResult> {
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: cleanEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options.account,
  });
  let output = '';
  const collect = (chunk: Buffer) => {
    output = `${output}${chunk.toString()}`.slice(-outputCharactersMax);
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ exitCode: undefined, output: error.message }));
    child.once('close', (code) => resolve({ exitCode: code ?? undefined, output: output.trim() }));
  });
}

/** Nothing of our own environment: PGDATA, PGOPTIONS and the like would change what Postgres does. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
}
