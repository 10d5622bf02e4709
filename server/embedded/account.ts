import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { hasErrorCode } from './error-code.ts';
import { StartError } from './start-error.ts';

/** A user of this machine that programs can be run as. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Who Postgres runs as: undefined stands for ourselves. Postgres refuses to run as root, so root lends it an unprivileged
 * account, which is the owner of what is at `path` already, or else nobody.
 */
export async function accountFor(path: string): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = await ownerOf(path);
  if (owner !== undefined && owner.uid !== 0) return owner;
  const [uid, gid] = await Promise.all([idOfNobody('-u'), idOfNobody('-g')]);
  return { uid, gid };
}

async function ownerOf(path: string): Promise<Account | undefined> {
  try {
    const { uid, gid } = await stat(path);
    return { uid, gid };
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function idOfNobody(option: '-u' | '-g'): Promise<number> {
  try {
    const { stdout } = await promisify(execFile)('id', [option, 'nobody']);
    // macOS prints -2 and means it as an unsigned number.
    return Number(stdout) >>> 0;
  } catch (cause) {
    throw new StartError('Postgres does not run as root and there is no user nobody to lend it; set DATABASE_URL', {
      cause,
    });
  }
}
