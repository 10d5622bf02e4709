import { arrayTypeIds } from './array-types.ts';
import type { Sql } from './database.ts';

/** A list of byte strings as a parameter. */
export function bytes(sql: Sql, values: readonly (Uint8Array | null)[]) {
  return sql.typed(values as Uint8Array[], arrayTypeIds.bytea);
}
