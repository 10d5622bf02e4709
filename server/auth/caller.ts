import { DstcError } from '../domain/errors.ts';
import type { Permission } from './permission.ts';
import type { Policy } from './policy.ts';
import type { Principal } from './principal.ts';
import type { TokenVerifier } from './tokens.ts';
import type { TypePattern } from './type-pattern.ts';

/** Who is calling and what that principal may do, by the policy of the moment of each question. */
export interface Caller {
  readonly principal: Principal;
  /** The caller speaks JSON, so payloads go back as JSON. */
  readonly wantsJson: boolean;
  may(permission: Permission, namespace: string, taskType: string): boolean;
  /** Throws PERMISSION_MISSING. */
  require(permission: Permission, namespace: string, taskType: string): void;
  /** Throws PERMISSION_MISSING unless the caller holds it on all task types, also those to come. */
  requireOnAll(permission: Permission, namespace: string): void;
  /** Throws PERMISSION_MISSING unless the caller holds it on all task types of all namespaces, also those to come. */
  requireEverywhere(permission: Permission): void;
  /** The patterns of the task types that the caller holds the permission on; none means no type at all. */
  typePatterns(permission: Permission, namespace: string): readonly TypePattern[];
  /** On any task type, and without a namespace in any namespace. */
  holdsAnywhere(permission: Permission, namespace?: string): boolean;
  /** Calls back when an answer may have changed. Returns what ends it. */
  onPolicyChange(listener: () => void): () => void;
}

export interface Callers {
  /** Rejects with TOKEN_INVALID. */
  fromToken(token: string, options: { readonly wantsJson: boolean }): Promise<Caller>;
}

export function createCallers(deps: { readonly verifier: TokenVerifier; readonly policy: Policy }): Callers {
  return {
    fromToken: async (token, { wantsJson }) => createCaller(deps.policy, await deps.verifier.verify(token), wantsJson),
  };
}

function createCaller(policy: Policy, principal: Principal, wantsJson: boolean): Caller {
  return {
    principal,
    wantsJson,
    may: (permission, namespace, taskType) => policy.decide(principal, permission, namespace, taskType),
    require(permission, namespace, taskType) {
      if (!policy.decide(principal, permission, namespace, taskType)) {
        throw permissionMissing(permission, namespace, taskType);
      }
    },
    requireOnAll(permission, namespace) {
      if (!policy.patterns(principal, permission, namespace).includes('*')) {
        throw permissionMissing(permission, namespace, '*');
      }
    },
    requireEverywhere(permission) {
      if (!policy.holdsEverywhere(principal, permission)) throw permissionMissing(permission, '*', '*');
    },
    typePatterns: (permission, namespace) => policy.patterns(principal, permission, namespace),
    holdsAnywhere: (permission, namespace) => policy.holdsAnywhere(principal, permission, namespace),
    onPolicyChange: (listener) => policy.onChange(listener),
  };
}

/** Names only what the caller itself has said, so that it does not tell whether the task type exists. */
export function permissionMissing(permission: Permission, namespace: string | undefined, taskType?: string): DstcError {
  const on = taskType === undefined ? 'any task type' : `task type ${taskType}`;
  const within = namespace === undefined ? 'any namespace' : `namespace ${namespace}`;
  return new DstcError(
    'PERMISSION_MISSING',
    `you lack the permission ${permission} on ${on} in ${within}; ask an operator to bind a role with it to you`,
    {
      metadata: {
        permission,
        ...(namespace !== undefined && { namespace }),
        ...(taskType !== undefined && { task_type: taskType }),
      },
    },
  );
}
