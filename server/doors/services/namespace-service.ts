import { create } from '@bufbuild/protobuf';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import { type Namespace, NamespaceSchema } from '@dstc/contract/dstc/v1/namespace_pb';
import type { NamespaceService } from '@dstc/contract/dstc/v1/namespace_service_pb';
import type { GateChange, Gates } from '../../engine/gates.ts';
import type { Database } from '../../store/database.ts';
import { selectGates } from '../../store/gates.ts';
import { callerOf } from '../context.ts';
import { namespaceOf } from '../convert/namespace.ts';
import { toPause } from '../convert/pause.ts';

export interface NamespaceServiceDeps {
  readonly database: Database;
  readonly gates: Gates;
}

export function namespaceService(deps: NamespaceServiceDeps): ServiceImpl<typeof NamespaceService> {
  async function read(namespace: string): Promise<Namespace> {
    const [gate] = await deps.database.query((orm) => selectGates(orm, namespace, []));
    const pause = toPause(gate);
    return create(NamespaceSchema, { namespace, ...(pause && { pause }) });
  }

  return {
    async getNamespace(request) {
      return { namespace: await read(namespaceOf(request)) };
    },

    async pauseNamespace(request, context) {
      const change = permittedChange(request, context);
      await deps.gates.pause(change);
      return { namespace: await read(change.namespace) };
    },

    async resumeNamespace(request, context) {
      const change = permittedChange(request, context);
      await deps.gates.resume(change);
      return { namespace: await read(change.namespace) };
    },
  };
}

/** Who may pause single types may not stop those of others. */
function permittedChange(
  request: { readonly namespace: string; readonly reason: string },
  context: HandlerContext,
): GateChange {
  const caller = callerOf(context);
  const namespace = namespaceOf(request);
  caller.requireOnAll('pause', namespace);
  return { namespace, type: '', actor: caller.principal.actor, reason: request.reason };
}
