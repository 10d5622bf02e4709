import { randomBytes } from 'node:crypto';
import { chown, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Account } from './account.ts';
import { hasErrorCode } from './error-code.ts';
import { makePrivateDirectory, type PostgresPlace } from './postgres-place.ts';
import type { PostgresPrograms } from './postgres-programs.ts';
import { runProgram } from './run-program.ts';
import { StartError } from './start-error.ts';

export const superuser = 'dstc';

interface ClusterDeps {
  readonly place: PostgresPlace;
  readonly programs: PostgresPrograms;
  readonly account: Account | undefined;
  /** Whether what is made here must survive a crash of the machine. */
  readonly fsync: boolean;
}

/**
 * Initializes the cluster unless that has been done, and returns the password of its superuser. A marker is written last:
 * a cluster without it is half of one, and is made anew.
 */
export async function ensureCluster(deps: ClusterDeps, passwordFile: string): Promise<string> {
  const marker = join(deps.place.directory, 'cluster.ready');
  const madeBy = await readIfThere(marker);
  const major = await majorVersion(deps);
  if (madeBy === undefined) {
    const password = randomBytes(24).toString('base64url');
    await writeFile(passwordFile, password, { mode: 0o600 });
    await initialize(deps, password);
    await writeFile(`${marker}.partial`, major);
    await rename(`${marker}.partial`, marker);
    return password;
  }
  if (madeBy !== major) {
    throw new StartError(
      `the data in ${deps.place.directory} is of Postgres ${madeBy} and this is ${major}; move it away to start anew, or set DATABASE_URL`,
    );
  }
  const password = await readIfThere(passwordFile);
  if (password === undefined) {
    throw new StartError(
      `${passwordFile} is gone, and with it the way into ${deps.place.cluster}; put it back, or delete ${marker} to start with an empty database`,
    );
  }
  return password;
}

async function initialize({ place, programs, account, fsync }: ClusterDeps, password: string): Promise<void> {
  await rm(place.cluster, { recursive: true, force: true });
  await makePrivateDirectory(place.cluster, account);
  const handover = join(place.directory, 'initial-password');
  await writeFile(handover, password, { mode: 0o600 });
  if (account !== undefined) await chown(handover, account.uid, account.gid);
  // Postgres' own collation: the order of texts does not depend on the C library of the machine.
  const locale = ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--encoding=UTF8'];
  const sync = fsync ? [] : ['--no-sync'];
  const { exitCode, output } = await runProgram(
    programs.initdb,
    ['-D', place.cluster, '-U', superuser, '--auth=scram-sha-256', `--pwfile=${handover}`, ...locale, ...sync],
    { account, cwd: place.directory },
  );
  await rm(handover, { force: true });
  if (exitCode !== 0) throw new StartError(`initdb failed in ${place.cluster}:\n${output}`);
}

async function majorVersion({ place, programs, account }: ClusterDeps): Promise<string> {
  const { output } = await runProgram(programs.postgres, ['--version'], { account, cwd: place.directory });
  const major = /(\d+)/.exec(output)?.[1];
  if (major === undefined) throw new StartError(`the embedded Postgres does not tell its version: ${output}`);
  return major;
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
