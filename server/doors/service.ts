import type { DescService } from '@bufbuild/protobuf';
import { createServiceImplSpec, type ServiceImpl, type ServiceImplSpec } from '@connectrpc/connect';

/** A service with all of its handlers, ready to be mounted. */
export function service<Desc extends DescService>(
  descriptor: Desc,
  implementation: ServiceImpl<Desc>,
): ServiceImplSpec {
  return createServiceImplSpec<Desc>(descriptor, implementation);
}
