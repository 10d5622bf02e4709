import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { exclusively } from './exclusively.mjs';
import { repository } from './repository.mjs';
import { StepFailed, slowStep } from './slow-step.mjs';

const sdk = join(repository, 'sdk', 'typescript');
const project = join(sdk, 'tsconfig.build.json');
const stamp = join(sdk, 'dist', '.built-from');

/** Builds @dstc/sdk unless `dist` is what its sources make: a plain Node 20 program imports the built files. */
export async function buildTypescriptSdk(node) {
  if (!existsSync(project) || isBuilt()) return;
  await exclusively('typescript-sdk', async () => {
    if (!isBuilt()) await slowStep('building the TypeScript SDK', () => build(node));
  });
}

async function build(node) {
  const built = sourceHash();
  const tsc = join(repository, 'node_modules', 'typescript', 'bin', 'tsc');
  // What a deleted source once made must not stay importable.
  rmSync(join(sdk, 'dist'), { recursive: true, force: true });
  try {
    await promisify(execFile)(node, [tsc, '-p', project], { cwd: repository });
  } catch (error) {
    throw new StepFailed(`the TypeScript SDK does not compile:\n${error.stdout || error.message}`);
  }
  // Renamed into place, so that a stamp is whole or absent.
  writeFileSync(`${stamp}.new`, built);
  renameSync(`${stamp}.new`, stamp);
}

function isBuilt() {
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === sourceHash();
}

function sourceHash() {
  const sources = readdirSync(join(sdk, 'src'), { recursive: true })
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .map((name) => join(sdk, 'src', name));
  const hash = createHash('sha256');
  for (const file of [project, join(repository, 'tsconfig.base.json'), join(sdk, 'package.json'), ...sources]) {
    hash.update(`${file.slice(repository.length)}\0`).update(readFileSync(file));
  }
  return hash.digest('hex');
}
