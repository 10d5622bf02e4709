import { createHash } from 'node:crypto';
import { DstcError } from '../../domain/errors.ts';
import { limits } from '../../domain/limits.ts';

/**
 * A page token is the position after which the next page begins, tied to the list it came from. It opens nothing: every
 * page is filtered anew by what the caller may see.
 */
export function toPageToken(list: readonly unknown[], position: string): string {
  return Buffer.from(`${sealOf(list, position)}${position}`).toString('base64url');
}

/**
 * The position of a token; undefined for the first page. Throws when it is not of this list or was altered, or when it
 * is no position at all, as the seal keeps nobody from making one.
 */
export function positionOf(
  list: readonly unknown[],
  token: string,
  shape: RegExp,
  field = 'page_token',
): string | undefined {
  if (token === '') return undefined;
  const bytes = Buffer.from(token, 'base64url');
  const text = bytes.toString();
  const position = text.slice(sealLength);
  // Decoding skips what it does not know, so that two texts may be one token.
  const isWhole = bytes.toString('base64url') === token;
  if (isWhole && shape.test(position) && text.slice(0, sealLength) === sealOf(list, position)) return position;
  throw pageTokenInvalid(field, 'is not of this list');
}

export function pageTokenInvalid(field: string, description: string): DstcError {
  return new DstcError('PAGE_TOKEN_INVALID', `${field} ${description}; begin again without one`, {
    violations: [{ field, description }],
  });
}

/** What positions look like. */
export const positions = {
  id: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  /** When it began, how much is done, and after which id to go on. */
  bulk: /^[0-9]{1,14}\.[0-9]{1,9}\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  sequence: /^[0-9]{1,9}$/,
  name: /^[A-Za-z0-9_.-]{1,128}$/,
  /** Order, subject, sequence and time of an event; and since when events are wanted. */
  stream: /^[0-9]{1,20}\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[0-9]{1,10}\.[0-9]{1,14}(\.[0-9]{1,15})?$/,
} as const;

/** How many rows a page has; 0 is the default. */
export function pageSizeOf(requested: number, byDefault: number = limits.pageSizeDefault): number {
  return requested || byDefault;
}

const sealLength = 24;

function sealOf(list: readonly unknown[], position: string): string {
  return createHash('sha256')
    .update(JSON.stringify([list, position], (_, value) => (typeof value === 'bigint' ? String(value) : value)))
    .digest('hex')
    .slice(0, sealLength);
}
