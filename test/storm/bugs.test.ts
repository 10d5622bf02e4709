import { rm } from 'node:fs/promises';
import { afterEach, expect, test } from 'vitest';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { bugNames, plantBug } from './bugs.ts';

let directory = '';
afterEach(() => rm(directory, { recursive: true, force: true }));

test.each(bugNames)('the mistake %s has its place in the coordinator as it is now', async (name) => {
  directory = await temporaryDirectory();
  expect(await plantBug(directory, name)).toMatch(/main\.ts$/);
});
