import { stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { hasErrorCode } from '../error-code.ts';
import { StartError } from '../start-error.ts';
import { holdStarterLock } from '../starter-lock.ts';

export interface StartLock {
  /** Whether the start before this one was killed and may have left parts that are still ending. */
  readonly afterKill: boolean;
  release(): Promise<void>;
}

const pathBytesMax = 100;

/** One start at a time for a data directory. The lock of a start that was killed is there, but held by nobody. */
export async function holdStartLock(dataDir: string): Promise<StartLock> {
  const absolute = join(dataDir, 'start');
  // The path of a unix socket may not be longer than this; a clone deep down is still close to where npm runs us.
  const path = [absolute, relative(process.cwd(), absolute)].find((way) => Buffer.byteLength(way) <= pathBytesMax);
  if (path === undefined) throw new StartError(`${dataDir} is too long a path for a socket; use a shorter --folder`);
  const afterKill = await exists(absolute);
  const lock = await holdStarterLock(
    path,
    `DSTC has been started already with ${dataDir}; stop that one first, or use another --folder and other ports`,
  );
  return { afterKill, release: () => lock.release() };
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return false;
    throw error;
  }
}
