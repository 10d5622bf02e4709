/** What a principal may do with tasks of a type. The doors hold it equal to `dstc.v1.Permission`. */
export const permissions = [
  'submit',
  'work',
  'read',
  'read_payload',
  'cancel',
  'redrive',
  'pause',
  'configure',
  'approve',
  'operate',
  'monitor',
] as const;

export type Permission = (typeof permissions)[number];
