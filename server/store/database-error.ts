import { DstcError } from '../domain/errors.ts';

/** SQLSTATE classes and codes that mean "Postgres is not there now", not "the statement is wrong". */
const unavailableCodes = /^(08|57P0|53)|^(25006|25P03|57014|40P01|40001|55P03)$/;

/** What the driver and Node say when the path to Postgres is broken. */
const connectionCodes = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'CONNECTION_ENDED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

/** Turns a broken path to Postgres into `DATABASE_UNAVAILABLE`; every other error is ours and stays what it is. */
export function databaseError(error: unknown): unknown {
  if (error instanceof DstcError) return error;
  const root = rootOf(error);
  if (isCollision(root)) return unavailable('this collided with other work in the database; try again', root);
  return isUnavailable(root) ? databaseUnavailable(root) : error;
}

export function databaseUnavailable(cause?: unknown): DstcError {
  return unavailable('the database cannot be reached now; try again', cause);
}

function unavailable(message: string, cause: unknown): DstcError {
  return new DstcError('DATABASE_UNAVAILABLE', message, { retryDelayMs: 1_000, cause });
}

/** Whether there was nobody to connect to, as opposed to a connection that was lost. */
export function isConnectFailure(error: unknown): boolean {
  const root = rootOf(error);
  const code = codeOf(root);
  if (code !== undefined) return connectFailureCodes.has(code);
  return root instanceof Error && root.message.startsWith('no connection to Postgres');
}

/** Whether the connection is of no use any more, and what was under way on it is over. */
export function isConnectionLost(error: unknown): boolean {
  const root = rootOf(error);
  const code = codeOf(root);
  return code === undefined ? isSilence(root) : connectionCodes.has(code) || /^(08|57P|25P03)/.test(code);
}

/** 57P03 is a server that starts or stops and takes no connections yet or any more. */
const connectFailureCodes = new Set([
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  '57P03',
]);

/** What the driver said, below what Drizzle makes of it. */
function rootOf(error: unknown): unknown {
  return error instanceof Error && error.cause instanceof Error ? error.cause : error;
}

/** Whether two transactions wanted each other's rows, and doing it again is the cure. */
export function isConflict(error: unknown): boolean {
  const code = codeOf(error instanceof DstcError ? error.cause : error);
  return code === '40P01' || code === '40001';
}

/** That, or a lock that was not had in time. */
function isCollision(error: unknown): boolean {
  return isConflict(error) || isLockTimeout(error);
}

/** Whether somebody else held a lock for longer than `lock_timeout`. */
export function isLockTimeout(error: unknown): boolean {
  return codeOf(rootOf(error)) === '55P03';
}

/** Whether rows do not fit a constraint, that of a partition included. */
export function violatesCheck(error: unknown): boolean {
  return codeOf(rootOf(error)) === '23514';
}

function isUnavailable(error: unknown): boolean {
  const code = codeOf(error);
  if (code !== undefined) return connectionCodes.has(code) || unavailableCodes.test(code);
  return isSilence(error);
}

/** What a socket was destroyed with that was silent for too long. */
function isSilence(error: unknown): boolean {
  return error instanceof Error && /^no (answer from|connection to) Postgres/.test(error.message);
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
