import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TaskContext } from '@dstc/sdk';

/** Hands over a file that only this user can read, with what became of the dependencies, and removes it afterwards. */
export async function withDependenciesFile<Result>(
  context: Pick<TaskContext, 'dependencies'>,
  work: (file: string) => Promise<Result>,
): Promise<Result> {
  const results = await context.dependencies();
  const folder = await mkdtemp(join(tmpdir(), 'dstc-dependencies-'));
  try {
    const file = join(folder, 'dependencies.json');
    await writeFile(file, JSON.stringify(results, bytesAsBase64), { mode: 0o600 });
    return await work(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function bytesAsBase64(this: Record<string, unknown>, key: string, value: unknown): unknown {
  // A Buffer has become a list of numbers by now.
  const original = this[key];
  return original instanceof Uint8Array ? Buffer.from(original).toString('base64') : value;
}
