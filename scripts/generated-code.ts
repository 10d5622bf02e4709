import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Step, succeeds } from './steps.ts';

/** The committed code is what the contract generates: nothing edited by hand, nothing forgotten. */
export const generatedCodeIsFresh: Step = {
  title: 'generated code is fresh',
  async run() {
    const fresh = await mkdtemp(join(tmpdir(), 'dstc-generated-'));
    try {
      if (!(await succeeds('buf', ['generate', '--output', fresh]))) return false;
      const stale = await differences(join(fresh, 'proto', 'gen'), join('proto', 'gen'));
      for (const file of stale) console.error(`proto/gen/${file} is not what proto/ generates; run npm run generate`);
      return stale.length === 0;
    } finally {
      await rm(fresh, { recursive: true, force: true });
    }
  },
};

async function differences(left: string, right: string): Promise<string[]> {
  const names = new Set([...(await filesUnder(left)), ...(await filesUnder(right))]);
  const differing: string[] = [];
  for (const name of [...names].sort()) {
    const [one, other] = await Promise.all([contents(join(left, name)), contents(join(right, name))]);
    if (one !== other) differing.push(name);
  }
  return differing;
}

async function filesUnder(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1));
}

async function contents(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
