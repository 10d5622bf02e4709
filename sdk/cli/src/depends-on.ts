import type { DependsOn, OnFailure } from '@dstc/sdk';

const policies: readonly OnFailure[] = ['cancel', 'continue', 'block'];

/** Reads `id` or `id:policy`. */
export function parseDependsOn(written: string): DependsOn {
  const [on = '', policy, ...rest] = written.split(':');
  const onFailure = policies.find((name) => name === (policy ?? 'cancel'));
  if (on !== '' && onFailure !== undefined && rest.length === 0) return { on, onFailure };
  throw new Error(`"${written}" is no dependency: write the id of a task, or id:${policies.join(', id:')}`);
}
