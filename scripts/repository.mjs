import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const repository = fileURLToPath(new URL('..', import.meta.url));

/** A JSON file under the repository, or undefined when there is none. */
export function readJson(...path) {
  try {
    return JSON.parse(readFileSync(join(repository, ...path), 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}
