import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { type ProgramResult, runProgram } from './run-program.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const clients = join(repository, 'test', 'clients', 'python');

/** Whether this machine has a Python that can make environments. */
export async function hasPython(): Promise<boolean> {
  const probe = 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))';
  const result = await runProgram('python3', ['-c', probe]).catch(() => undefined);
  return result?.code === 0;
}

export interface PythonClient {
  /** Runs a Python program of `test/clients/python` that may import what is generated from `proto/`. */
  run(args: readonly string[], env: Readonly<Record<string, string>>): Promise<ProgramResult>;
  dispose(): Promise<void>;
}

/** A Python environment as a user of the contract would make it: gRPC's own tools and `proto/`, and nothing else. */
export async function createPythonClient(): Promise<PythonClient> {
  const python = await installedPython();
  const generated = await temporaryDirectory();
  const protos = await readdir(join(repository, 'proto'), { recursive: true });
  const sources = protos.filter((name) => name.endsWith('.proto'));
  const out = [`--python_out=${generated}`, `--grpc_python_out=${generated}`];
  await succeed(python, ['-m', 'grpc_tools.protoc', '-I', join(repository, 'proto'), ...out, ...sources]);
  return {
    run(args, env) {
      const path = `${generated}:${clients}`;
      const own = { PYTHONPATH: path, PYTHONDONTWRITEBYTECODE: '1', ...env };
      return runProgram(python, args, { ...process.env, ...own });
    },
    dispose: () => rm(generated, { recursive: true, force: true }),
  };
}

/** The Python with what `requirements.txt` names, made once for each version of that file. */
async function installedPython(): Promise<string> {
  const requirements = join(clients, 'requirements.txt');
  const { text: version } = await runProgram('python3', ['--version']);
  const key = createHash('sha256')
    .update(version)
    .update(await readFile(requirements))
    .digest('hex')
    .slice(0, 12);
  const directory = join(repository, '.dstc', 'python', key);
  const python = join(directory, 'bin', 'python');
  const complete = join(directory, 'complete');
  if ((await readFile(complete).catch(() => undefined)) !== undefined) return python;
  await mkdir(join(directory, '..'), { recursive: true });
  await succeed('python3', ['-m', 'venv', '--clear', directory]);
  await succeed(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements]);
  await writeFile(complete, '');
  return python;
}

async function succeed(program: string, args: readonly string[]): Promise<void> {
  const { code, text } = await runProgram(program, args);
  if (code !== 0) throw new Error(`${program} ${args.slice(0, 3).join(' ')} failed:\n${text}`);
}
