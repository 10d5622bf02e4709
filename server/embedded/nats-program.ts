import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { StartError } from './start-error.ts';

/** A nats-server on this machine. */
export interface NatsProgram {
  readonly file: string;
  /** Such as `2.10.4`. */
  readonly version: string;
}

const versionPattern = /nats-server: v?(\d+\.\d+\.\d+\S*)/;

/** The one that `NATS_SERVER_BIN` names, or else the first in the PATH; undefined when there is none. */
export async function findNatsProgram(env: NodeJS.ProcessEnv): Promise<NatsProgram | undefined> {
  const named = env.NATS_SERVER_BIN;
  if (named !== undefined && named !== '') return natsProgram(named);
  for (const folder of (env.PATH ?? '').split(delimiter)) {
    const file = join(folder, 'nats-server');
    if (folder !== '' && (await isExecutable(file))) return natsProgram(file);
  }
  return undefined;
}

/** @throws StartError when it is no nats-server, or does not run here */
export async function natsProgram(file: string): Promise<NatsProgram> {
  const run = promisify(execFile)(file, ['--version'], { timeout: 10_000 });
  const { stdout } = await run.catch((cause: unknown) => {
    throw new StartError(`${file} cannot be run: ${cause instanceof Error ? cause.message : cause}`, { cause });
  });
  const version = versionPattern.exec(stdout)?.[1];
  if (version === undefined)
    throw new StartError(`${file} does not say that it is a nats-server, but ${stdout.trim()}`);
  return { file, version };
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}
