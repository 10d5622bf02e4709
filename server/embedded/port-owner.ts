import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { hasErrorCode } from './error-code.ts';

const commandCharactersMax = 100;
const listening = '0A';

/** Who listens on a port, in words: `process 4711 (node server/main.ts serve)`. Undefined where the system does not tell. */
export async function portOwner(port: number): Promise<string | undefined> {
  const inodes = new Set([...(await listeners('/proc/net/tcp', port)), ...(await listeners('/proc/net/tcp6', port))]);
  if (inodes.size === 0) return undefined;
  for (const pid of (await namesIn('/proc')).filter((name) => /^\d+$/.test(name))) {
    for (const descriptor of await namesIn(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(await orEmpty(readlink(`/proc/${pid}/fd/${descriptor}`)))?.[1];
      if (inode !== undefined && inodes.has(inode)) return `process ${pid} (${await commandOf(pid)})`;
    }
  }
  return undefined;
}

/** The inodes of the sockets that listen on a port, on whatever address. */
async function listeners(table: string, port: number): Promise<readonly string[]> {
  const rows = (await orEmpty(readFile(table, 'utf8'))).split('\n').slice(1);
  return rows.flatMap((row) => {
    const [, local = '', , state, , , , , , inode] = row.trim().split(/\s+/);
    const isIt = state === listening && Number.parseInt(local.split(':')[1] ?? '', 16) === port;
    return isIt && inode !== undefined ? [inode] : [];
  });
}

async function commandOf(pid: string): Promise<string> {
  const [program = '', ...args] = (await orEmpty(readFile(`/proc/${pid}/cmdline`, 'utf8'))).split('\0');
  const command = [basename(program), ...args].join(' ').trim();
  return command.length > commandCharactersMax ? `${command.slice(0, commandCharactersMax)}…` : command;
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    return ignoreHidden(error, []);
  }
}

async function orEmpty(text: Promise<string>): Promise<string> {
  try {
    return await text;
  } catch (error) {
    return ignoreHidden(error, '');
  }
}

/** Other users' processes are closed to us, processes end while we look, and not every system has /proc. */
function ignoreHidden<Value>(error: unknown, instead: Value): Value {
  if (hasErrorCode(error, 'ENOENT', 'EACCES', 'EPERM', 'ESRCH', 'ENOTDIR', 'EINVAL')) return instead;
  throw error;
}
