import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { sdkInfo } from './version.ts';

test('states the version of the package', () => {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  expect(sdkInfo.version).toBe(manifest.version);
});
