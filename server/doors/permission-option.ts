import { type DescMethod, getOption } from '@bufbuild/protobuf';
import {
  or_permission as orPermissionOption,
  Permission as PermissionProto,
  permission as permissionOption,
} from '@dstc/contract/dstc/v1/permission_pb';
import type { Permission } from '../auth/permission.ts';

const permissionOfProto = {
  [PermissionProto.UNSPECIFIED]: undefined,
  [PermissionProto.SUBMIT]: 'submit',
  [PermissionProto.WORK]: 'work',
  [PermissionProto.READ]: 'read',
  [PermissionProto.READ_PAYLOAD]: 'read_payload',
  [PermissionProto.CANCEL]: 'cancel',
  [PermissionProto.REDRIVE]: 'redrive',
  [PermissionProto.PAUSE]: 'pause',
  [PermissionProto.CONFIGURE]: 'configure',
  [PermissionProto.APPROVE]: 'approve',
  [PermissionProto.OPERATE]: 'operate',
  [PermissionProto.MONITOR]: 'monitor',
} as const satisfies Record<PermissionProto, Permission | undefined>;

/**
 * The permissions that the contract names for an RPC, any of which opens it. An RPC without one would be open to everybody,
 * so it is a fault.
 */
export function permissionsOf(method: DescMethod): readonly [Permission, ...Permission[]] {
  const permission = permissionOfProto[getOption(method, permissionOption)];
  if (permission === undefined) throw new Error(`${method.parent.typeName}.${method.name} has no permission option`);
  const other = permissionOfProto[getOption(method, orPermissionOption)];
  return other === undefined ? [permission] : [permission, other];
}
