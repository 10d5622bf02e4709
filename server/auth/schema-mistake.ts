import type { ErrorObject } from 'ajv/dist/2020.js';

/** What is wrong in a file that people write, with its path below `root`; an empty root is the file itself. */
export function schemaMistake(error: ErrorObject, root = ''): string {
  return `${pathOf(root, error.instancePath) || 'the file'}: ${messageOf(error)}`;
}

function messageOf(error: ErrorObject): string {
  if ('additionalProperty' in error.params) return `has an unknown key ${error.params.additionalProperty}`;
  if ('allowedValues' in error.params) return `must be one of ${String(error.params.allowedValues)}`;
  return error.message ?? 'is wrong';
}

/** `/bindings/0/claims` becomes `bindings[0].claims`. */
function pathOf(root: string, pointer: string): string {
  const path = pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((key) => (/^\d+$/.test(key) ? `[${key}]` : `.${key}`))
    .join('');
  return `${root}${path}`.replace(/^\./, '');
}
