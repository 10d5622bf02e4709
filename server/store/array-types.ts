/**
 * How lists become Postgres arrays. postgres.js can ask the server for these types, but it does so on every new
 * connection in a query of its own, whose failure nobody hears: it would end the process when Postgres goes away then.
 */
type Element = string | number | boolean | Uint8Array | null;

/** Type ids of `pg_type`; they never change. Lists are only sent, not read. */
export const arrayTypes = {
  booleanArray: arrayType(1000, (value) => (value === true ? 't' : 'f')),
  byteaArray: arrayType(1001, (value) => `"\\\\x${hexOf(value)}"`),
  smallintArray: arrayType(1005, String),
  intArray: arrayType(1007, String),
  textArray: arrayType(1009, quoted),
  bigintArray: arrayType(1016, String),
  realArray: arrayType(1021, String),
  doubleArray: arrayType(1022, String),
  uuidArray: arrayType(2951, String),
  jsonbArray: arrayType(3807, quoted),
};

/** Named where the driver would guess the type from the first element, which may be null. */
export const arrayTypeIds = { boolean: 1000, bytea: 1001 } as const;

function arrayType(id: number, serializeElement: (element: Exclude<Element, null>) => string) {
  return {
    to: id,
    from: [id],
    serialize: (list: readonly Element[]) =>
      `{${list.map((element) => (element === null ? 'NULL' : serializeElement(element))).join(',')}}`,
    parse: (text: string): never => {
      throw new Error(`an array is read as text, but nothing reads arrays: ${text.length} characters`);
    },
  };
}

function quoted(element: Exclude<Element, null>): string {
  return `"${String(element).replace(/["\\]/g, '\\$&')}"`;
}

function hexOf(value: Exclude<Element, null>): string {
  if (!(value instanceof Uint8Array)) throw new TypeError('a bytea is a Uint8Array');
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex');
}
