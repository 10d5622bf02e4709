import { defaultNamespace } from '../../domain/namespace.ts';

/** The tenant that a request means. */
export function namespaceOf(request: { readonly namespace: string }): string {
  return request.namespace || defaultNamespace;
}
