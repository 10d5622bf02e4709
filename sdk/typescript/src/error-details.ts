import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf';
import { type Any, anyUnpack, durationMs } from '@bufbuild/protobuf/wkt';
import { ErrorReason as ContractReason } from '@dstc/contract/dstc/v1/error_pb';
import type { CallError } from '@dstc/contract/dstc/v1/task_service_pb';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '@dstc/contract/google/rpc/error_details_pb';
import { StatusSchema } from '@dstc/contract/google/rpc/status_pb';
import { type Metadata, status } from '@grpc/grpc-js';
import { DstcError, type ErrorCode, type ErrorReason } from './errors.ts';

/** The DstcError for what a gRPC call threw. Errors that are none of gRPC's come back as they are. */
export function errorOf(thrown: unknown): unknown {
  if (!isServiceError(thrown)) return thrown;
  const details = detailsOf(thrown.metadata);
  const info = find(details, ErrorInfoSchema);
  const retryDelay = find(details, RetryInfoSchema)?.retryDelay;
  const code = info === undefined && isBroken(thrown) ? 'UNAVAILABLE' : codeNameOf(thrown.code);
  return new DstcError({
    reason: info?.domain === 'dstc' ? knownReason(info.reason) : reasonOfCode(code),
    code,
    message: thrown.details === '' ? code : thrown.details,
    metadata: info?.metadata,
    violations: find(details, BadRequestSchema)?.fieldViolations.map(({ field, description }) => ({
      field,
      description,
    })),
    retryDelayMs: retryDelay === undefined ? undefined : durationMs(retryDelay),
    // The coordinator's own words are complete; what grpc-js adds to them is pages long.
    cause: info === undefined ? thrown : undefined,
  });
}

/** The DstcError for one item of a batch. */
export function errorOfItem(error: CallError): DstcError {
  const code = codeNameOf(error.code);
  return new DstcError({
    reason: knownReason(ContractReason[error.reason]),
    code,
    message: error.message === '' ? code : error.message,
    metadata: error.metadata,
    violations: error.violations.map(({ field, description }) => ({ field, description })),
  });
}

interface StatusLike {
  readonly code: number;
  readonly details: string;
  readonly metadata?: Metadata | undefined;
}

function isServiceError(thrown: unknown): thrown is Error & StatusLike {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'number' && 'details' in thrown;
}

/** grpc-js calls some ends of a connection, such as EPIPE on one with TLS, an internal error. It is no answer at all. */
function isBroken({ code, details }: StatusLike): boolean {
  return code === status.INTERNAL && details.includes('RST_STREAM');
}

function detailsOf(metadata: Metadata | undefined): readonly Any[] {
  const [bytes] = metadata?.get('grpc-status-details-bin') ?? [];
  if (!(bytes instanceof Uint8Array)) return [];
  try {
    return fromBinary(StatusSchema, bytes).details;
  } catch {
    // Whoever wrote them, the code and the message of the call still stand.
    return [];
  }
}

function find<D extends DescMessage>(details: readonly Any[], schema: D): MessageShape<D> | undefined {
  for (const detail of details) {
    const message = anyUnpack(detail, schema);
    if (message !== undefined) return message;
  }
  return undefined;
}

/** A coordinator that is newer than this SDK may give reasons that it does not know. */
function knownReason(name: string | undefined): ErrorReason {
  return name !== undefined && isContractReason(name) && name !== 'UNSPECIFIED' ? name : 'UNKNOWN';
}

function isContractReason(name: string): name is keyof typeof ContractReason {
  return Object.hasOwn(ContractReason, name) && Number.isNaN(Number(name));
}

function codeNameOf(code: number): ErrorCode {
  const name = Object.entries(status).find(([, value]) => value === code)?.[0];
  return name !== undefined && isCodeName(name) ? name : 'UNKNOWN';
}

function isCodeName(name: string): name is ErrorCode {
  return name !== 'OK' && Object.hasOwn(status, name);
}

/** Proxies and the transport itself give no reason; some codes say enough. */
function reasonOfCode(code: ErrorCode): ErrorReason {
  switch (code) {
    case 'UNAVAILABLE':
      return 'UNREACHABLE';
    case 'DEADLINE_EXCEEDED':
      return 'DEADLINE_EXCEEDED';
    case 'CANCELLED':
      return 'CALL_CANCELLED';
    case 'UNIMPLEMENTED':
      return 'UNIMPLEMENTED';
    case 'UNAUTHENTICATED':
      return 'TOKEN_INVALID';
    case 'PERMISSION_DENIED':
      return 'PERMISSION_MISSING';
    default:
      return 'UNKNOWN';
  }
}
