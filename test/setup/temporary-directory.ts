import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasErrorCode } from '../../server/embedded/error-code.ts';

const prefix = 'dstc-test-';

/** A new directory for this process; the next run deletes it when a kill -9 kept this one from doing so. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), `${prefix}${process.pid}-`));
  // Started by root, Postgres runs as somebody else and must be able to pass through.
  await chmod(directory, 0o711);
  return directory;
}

/** Deletes what killed runs left behind. */
export async function deleteForgottenDirectories(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid)))
      await rm(join(tmpdir(), name), { recursive: true, force: true }).catch(ignoreForeign);
  }
}

/** Another user's are left to that user. */
function ignoreForeign(error: unknown): void {
  if (!hasErrorCode(error, 'EACCES', 'EPERM')) throw error;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return hasErrorCode(error, 'EPERM');
  }
}
