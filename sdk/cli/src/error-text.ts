import type { DstcError, ErrorReason } from '@dstc/sdk';
import { UsageError } from './exit.ts';
import { oneLine } from './output/shown.ts';

/** One line that says what went wrong and what to do, and a line for each field that broke a rule. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof UsageError) return error.message;
  if (!isDstcError(error)) return firstLine(systemErrorText(error));
  const hint = hints[error.reason];
  const lines = [`${firstLine(error.message)} (${error.reason})${hint === undefined ? '' : `; ${hint}`}`];
  for (const { field, description } of error.violations) {
    const violation = oneLine(`${field}: ${description}`);
    // A single one is often the whole message.
    if (!error.message.includes(violation)) lines.push(`  ${violation}`);
  }
  const { correlation_id: correlationId } = error.metadata;
  if (correlationId !== undefined) lines.push(`  correlation id: ${correlationId}`);
  return lines.join('\n');
}

const hints: Partial<Record<ErrorReason, string>> = {
  UNREACHABLE: 'is a coordinator running there? Start one with dstc dev, or name another with --address',
  TOKEN_MISSING: 'log in with dstc login',
  TOKEN_INVALID: 'log in again with dstc login',
  PERMISSION_MISSING: 'ask an operator for the permission, or use another login with --profile',
  TASK_TYPE_NOT_FOUND: 'dstc type list shows those that you may use',
  OVERLOADED: 'try again in a moment',
  DATABASE_UNAVAILABLE: 'try again in a moment',
  NODE_DRAINING: 'try again in a moment',
};

/** By shape: an error of another copy of the SDK is as good as one of ours, and the SDK need not be loaded for it. */
function isDstcError(error: Error): error is DstcError {
  return error.name === 'DstcError' && 'reason' in error && 'violations' in error;
}

function systemErrorText(error: Error): string {
  const path = 'path' in error && typeof error.path === 'string' ? error.path : undefined;
  switch ('code' in error ? error.code : undefined) {
    case 'ENOENT':
      return path === undefined ? error.message : `there is no file ${path}`;
    case 'EACCES':
      return path === undefined ? error.message : `${path} may not be read; check who owns it`;
    case 'EISDIR':
      return path === undefined ? error.message : `${path} is a folder; name a file`;
    default:
      return error.message === '' ? error.name : error.message;
  }
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}
