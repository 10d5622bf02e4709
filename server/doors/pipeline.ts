import { create, type DescMessage, type Message } from '@bufbuild/protobuf';
import type { HandlerContext, MethodImplSpec, ServiceImplSpec } from '@connectrpc/connect';
import { permissionMissing } from '../auth/caller.ts';
import type { Permission } from '../auth/permission.ts';
import { defaultNamespace } from '../domain/namespace.ts';
import { callerOf } from './context.ts';
import { untilAborted } from './deadline.ts';
import { type ErrorDeps, toConnectError } from './errors.ts';
import { permissionsOf } from './permission-option.ts';
import { validateMessage, warmUpValidation } from './validate.ts';

/**
 * Puts in front of every handler what both doors share: the RPC's permission, the contract's rules, the deadline and the
 * mapping of errors. Throws when an RPC names no permission.
 */
export function mountServices(deps: ErrorDeps, services: readonly ServiceImplSpec[]): readonly ServiceImplSpec[] {
  return services.map(({ service, methods }) => ({
    service,
    methods: Object.fromEntries(Object.entries(methods).map(([name, spec]) => [name, mountMethod(deps, spec)])),
  }));
}

function mountMethod(deps: ErrorDeps, spec: MethodImplSpec): MethodImplSpec {
  const { method } = spec;
  const permissions = permissionsOf(method);
  const rpc = `${method.parent.typeName}/${method.name}`;
  const fail = (error: unknown) => toConnectError(deps, error, { rpc });
  warmUpValidation(method.input, create(method.input));

  switch (spec.kind) {
    case 'unary':
      return {
        ...spec,
        async impl(request: Message, context: HandlerContext) {
          try {
            admit(context, permissions, request);
            validateMessage(method.input, request);
            return await untilAborted(context.signal, () => spec.impl(request, context));
          } catch (error) {
            throw fail(error);
          }
        },
      };
    case 'server_streaming':
      return {
        ...spec,
        async *impl(request: Message, context: HandlerContext) {
          try {
            admit(context, permissions, request);
            validateMessage(method.input, request);
            yield* spec.impl(request, context);
          } catch (error) {
            throw fail(error);
          }
        },
      };
    case 'client_streaming':
      return {
        ...spec,
        async impl(requests: AsyncIterable<Message>, context: HandlerContext) {
          try {
            admit(context, permissions);
            return await spec.impl(validated(method.input, requests), context);
          } catch (error) {
            throw fail(error);
          }
        },
      };
    case 'bidi_streaming':
      return {
        ...spec,
        async *impl(requests: AsyncIterable<Message>, context: HandlerContext) {
          try {
            admit(context, permissions);
            // Its handler holds each message against the rules: it may refuse a part of one.
            yield* spec.impl(requests, context);
          } catch (error) {
            throw fail(error);
          }
        },
      };
  }
}

async function* validated<Request extends Message>(
  schema: DescMessage,
  requests: AsyncIterable<Request>,
): AsyncIterable<Request> {
  for await (const request of requests) {
    validateMessage(schema, request);
    yield request;
  }
}

/** Refuses callers that hold the permissions on nothing; on which task types they hold them is the handler's question. */
function admit(context: HandlerContext, permissions: readonly [Permission, ...Permission[]], request?: Message): void {
  const namespace = request === undefined ? undefined : namespaceOf(request);
  const caller = callerOf(context);
  if (!permissions.some((permission) => caller.holdsAnywhere(permission, namespace))) {
    throw permissionMissing(permissions[0], namespace);
  }
}

/** The namespace that a request is about, or `undefined` when its parts may name others. */
function namespaceOf(request: Message): string | undefined {
  if (!('namespace' in request) || typeof request.namespace !== 'string') return undefined;
  if (request.namespace !== '') return request.namespace;
  return 'requests' in request ? undefined : defaultNamespace;
}
