import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Step, succeeds } from './steps.ts';

const released = 'proto/released.binpb';
const rules = JSON.stringify({ version: 'v2', breaking: { use: ['FILE'] } });

/** Whoever was generated from the last release can still talk. Images are compared, because buf.yaml has several modules. */
export const contractIsCompatible: Step = {
  title: `buf breaking, against ${released}`,
  async run() {
    const folder = await mkdtemp(join(tmpdir(), 'dstc-contract-'));
    const image = join(folder, 'contract.binpb');
    try {
      if (!(await succeeds('buf', ['build', '-o', image]))) return false;
      return await succeeds('buf', ['breaking', image, '--against', released, '--config', rules]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};
