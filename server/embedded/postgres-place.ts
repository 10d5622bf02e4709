import { createHash } from 'node:crypto';
import { chmod, chown, lstat, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Account } from './account.ts';
import { hasErrorCode } from './error-code.ts';
import { runProgram } from './run-program.ts';
import { StartError } from './start-error.ts';

/** Where the embedded Postgres keeps its things. */
export interface PostgresPlace {
  /** Holds all of it; the account can enter it. */
  readonly directory: string;
  /** What Postgres calls the data directory. */
  readonly cluster: string;
  /** Of the unix sockets; its path is short, because theirs may have about 100 bytes. */
  readonly sockets: string;
}

const socketPathBytesMax = 100;

/**
 * Places Postgres in `dataDir`, or under /var/tmp when the account cannot reach that: root often works in a directory
 * that is closed to everyone else. The choice is written down and kept, so that the data does not move with a mode.
 */
export async function choosePlace(dataDir: string, account: Account | undefined): Promise<PostgresPlace> {
  const note = join(dataDir, 'location');
  const outside = stablePath(dataDir, '/var/tmp');
  // A copied clone has the note of the other one; only its own counts.
  const wasOutside = (await readNote(note)) === outside;
  const directory = !wasOutside && (await canEnter(dataDir, account)) ? dataDir : outside;
  if (directory === outside) {
    await ownDirectory(outside, 0o711);
    // Without a note this data is of an earlier clone at the same path, which was deleted.
    if (!wasOutside) await rm(join(outside, 'cluster.ready'), { force: true });
  }
  if (!(await canEnter(directory, account))) {
    throw new StartError(`the user that Postgres runs as cannot enter ${directory}; allow it, or set DATABASE_URL`);
  }
  if (directory === outside && !wasOutside) await writeFile(note, `${outside}\n`);
  const sockets = await socketDirectory(directory, account);
  return { directory, cluster: join(directory, 'cluster'), sockets };
}

/** Makes a directory that belongs to the account, and to nobody else. */
export async function makePrivateDirectory(path: string, account: Account | undefined): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  if (account !== undefined) await chown(path, account.uid, account.gid);
  await chmod(path, 0o700);
}

async function readNote(note: string): Promise<string | undefined> {
  try {
    return (await readFile(note, 'utf8')).trim();
  } catch (error) {
    if (hasErrorCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Asks the system itself, because modes, access lists and mounts all have a say. */
async function canEnter(directory: string, account: Account | undefined): Promise<boolean> {
  if (account === undefined) return true;
  return (await runProgram('/bin/sh', ['-c', 'cd "$1"', 'sh', directory], { account, cwd: '/' })).exitCode === 0;
}

/** A path outside the clone that is the same at every start. */
function stablePath(dataDir: string, parent: string): string {
  return join(parent, `dstc-${createHash('sha256').update(dataDir).digest('hex').slice(0, 16)}`);
}

async function socketDirectory(directory: string, account: Account | undefined): Promise<string> {
  const inside = join(directory, 'sockets');
  if (Buffer.byteLength(join(inside, '.s.PGSQL.65535')) <= socketPathBytesMax) {
    await makePrivateDirectory(inside, account);
    return inside;
  }
  const short = stablePath(directory, tmpdir().length < 40 ? tmpdir() : '/tmp');
  await ownDirectory(short, 0o711);
  const sockets = join(short, 's');
  await makePrivateDirectory(sockets, account);
  return sockets;
}

/** Anyone may create names under /tmp: what is there already must be a directory of ours that others cannot write. */
async function ownDirectory(path: string, mode: number): Promise<void> {
  await mkdir(path, { recursive: true, mode });
  const found = await lstat(path);
  if (!found.isDirectory() || found.uid !== process.getuid?.()) {
    throw new StartError(`${path} is not a directory of this user; delete it, or set DATABASE_URL`);
  }
  await chmod(path, mode);
}
