import { create } from '@bufbuild/protobuf';
import type { Namespace as ContractNamespace } from '@dstc/contract/dstc/v1/namespace_pb';
import {
  GetNamespaceRequestSchema,
  NamespaceService,
  PauseNamespaceRequestSchema,
  ResumeNamespaceRequestSchema,
} from '@dstc/contract/dstc/v1/namespace_service_pb';
import type { Caller } from './caller.ts';
import { type Pause, type PauseOptions, pauseOf } from './pause-state.ts';

/** A namespace as it is. */
export interface Namespace {
  readonly namespace: string;
  /** Set while nothing of it is leased. */
  readonly pause: Pause | undefined;
}

/** What operators do with the namespace of a client. */
export interface Namespaces {
  get(): Promise<Namespace>;
  /** Stops the leasing of every task type in it; the permission must cover all types. Pausing again changes nothing. */
  pause(options?: PauseOptions): Promise<Namespace>;
  resume(options?: PauseOptions): Promise<Namespace>;
}

export function createNamespaces(caller: Caller, namespace: string): Namespaces {
  const { method } = NamespaceService;
  return {
    async get() {
      const answer = await caller.unary(method.getNamespace, create(GetNamespaceRequestSchema, { namespace }));
      return namespaceOf(answer.namespace);
    },
    async pause({ reason = '' } = {}) {
      const request = create(PauseNamespaceRequestSchema, { namespace, reason });
      return namespaceOf((await caller.unary(method.pauseNamespace, request)).namespace);
    },
    async resume({ reason = '' } = {}) {
      const request = create(ResumeNamespaceRequestSchema, { namespace, reason });
      return namespaceOf((await caller.unary(method.resumeNamespace, request)).namespace);
    },
  };
}

function namespaceOf(found: ContractNamespace | undefined): Namespace {
  if (found === undefined) throw new Error('the coordinator answered without a namespace');
  return { namespace: found.namespace, pause: pauseOf(found.pause) };
}
