import { readFile } from 'node:fs/promises';
import type { TaskTypeDefinition } from '@dstc/sdk';

/** The task type `checknumber`, for an operator to apply. */
export async function phoneCheckType(): Promise<TaskTypeDefinition> {
  return JSON.parse(await readFile(new URL('type.json', import.meta.url), 'utf8'));
}
