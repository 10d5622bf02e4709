import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFileRegistry, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { succeeds } from '../steps.ts';

/** The contract as its files have it now, with its comments: the generated code knows neither of them. */
export async function readContract(): Promise<FileRegistry> {
  const directory = await mkdtemp(join(tmpdir(), 'dstc-contract-'));
  try {
    const image = join(directory, 'contract.binpb');
    if (!(await succeeds('buf', ['build', '--output', image]))) throw new Error('the contract does not compile');
    return createFileRegistry(fromBinary(FileDescriptorSetSchema, await readFile(image)));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
