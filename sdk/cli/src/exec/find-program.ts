import { access, constants, stat } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { UsageError } from '../exit.ts';

/** The path of a program, looked up as a shell would. Throws when there is none: better now than at the first task. */
export async function findProgram(env: NodeJS.ProcessEnv, command: string): Promise<string> {
  if (command.includes('/') || process.platform === 'win32') {
    const path = resolve(command);
    if (process.platform === 'win32' || (await isExecutable(path)))
      return process.platform === 'win32' ? command : path;
    throw new UsageError(`${command} is no program that may be run; check the path and chmod +x`);
  }
  for (const folder of (env.PATH ?? '').split(delimiter)) {
    const path = join(folder === '' ? '.' : folder, command);
    if (await isExecutable(path)) return path;
  }
  throw new UsageError(`there is no program ${command} in the PATH`);
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
