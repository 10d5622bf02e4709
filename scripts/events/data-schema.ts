import { type DescEnum, type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { commentOf } from './comment.ts';

/** A JSON Schema, or part of the document. */
export type Json = Readonly<Record<string, unknown>>;

/** Messages that have a JSON form of their own. */
const wellKnown: Readonly<Record<string, Json>> = {
  'google.protobuf.Timestamp': { type: 'string', format: 'date-time' },
  'google.protobuf.Duration': { type: 'string', pattern: '^-?[0-9]+(\\.[0-9]{1,9})?s$' },
};

/**
 * The JSON Schemas of messages and of all that is in them, by their names in the document, as the JSON mapping of
 * protobuf has them. Nothing is required, because what has its default is left away; and nothing is forbidden, because
 * fields may be added.
 */
export function dataSchemas(messages: readonly DescMessage[]): Readonly<Record<string, Json>> {
  const schemas = new Map<string, Json>();
  const open: (DescMessage | DescEnum)[] = [...messages];
  for (let desc = open.shift(); desc !== undefined; desc = open.shift()) {
    if (schemas.has(desc.name)) continue;
    schemas.set(desc.name, desc.kind === 'enum' ? enumSchema(desc) : messageSchema(desc));
    if (desc.kind === 'message') open.push(...desc.fields.flatMap(partsOf));
  }
  return Object.fromEntries([...schemas].sort(([one], [other]) => (one < other ? -1 : 1)));
}

export function schemaRef(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}

/** What has a schema of its own. */
function partsOf(field: DescField): (DescMessage | DescEnum)[] {
  if (field.enum !== undefined) return [field.enum];
  return field.message === undefined || field.message.typeName in wellKnown ? [] : [field.message];
}

function messageSchema(message: DescMessage): Json {
  const properties = message.fields.map((field) => [field.jsonName, described(fieldSchema(field), commentOf(field))]);
  return { type: 'object', description: commentOf(message), properties: Object.fromEntries(properties) };
}

function enumSchema(desc: DescEnum): Json {
  const values = desc.values.map((value) => `- \`${value.name}\`: ${commentOf(value)}`);
  const description = [commentOf(desc), ...values].join('\n');
  return { type: 'string', description, enum: desc.values.map(({ name }) => name) };
}

/** What stands beside a reference is not looked at. */
function described(schema: Json, description: string): Json {
  return '$ref' in schema ? { description, allOf: [schema] } : { description, ...schema };
}

function fieldSchema(field: DescField): Json {
  switch (field.fieldKind) {
    case 'map':
      return { type: 'object', additionalProperties: valueSchema(field) };
    case 'list':
      return { type: 'array', items: valueSchema(field) };
    default:
      return valueSchema(field);
  }
}

function valueSchema(field: DescField): Json {
  if (field.enum !== undefined) return schemaRef(field.enum.name);
  if (field.message !== undefined) return wellKnown[field.message.typeName] ?? schemaRef(field.message.name);
  if (field.scalar === undefined) throw new Error(`${field.toString()} has no value`);
  return scalarSchemas[field.scalar];
}

const integer = { type: 'integer', format: 'int32' } as const;
const natural = { type: 'integer', minimum: 0, maximum: 4_294_967_295 } as const;
/** Not every reader of JSON has integers of 64 bits. */
const long = { type: 'string', pattern: '^-?[0-9]+$' } as const;
const longNatural = { type: 'string', pattern: '^[0-9]+$' } as const;
const real = { anyOf: [{ type: 'number' }, { enum: ['NaN', 'Infinity', '-Infinity'] }] } as const;

const scalarSchemas: Readonly<Record<ScalarType, Json>> = {
  [ScalarType.STRING]: { type: 'string' },
  [ScalarType.BOOL]: { type: 'boolean' },
  [ScalarType.BYTES]: { type: 'string', contentEncoding: 'base64' },
  [ScalarType.INT32]: integer,
  [ScalarType.SINT32]: integer,
  [ScalarType.SFIXED32]: integer,
  [ScalarType.UINT32]: natural,
  [ScalarType.FIXED32]: natural,
  [ScalarType.INT64]: long,
  [ScalarType.SINT64]: long,
  [ScalarType.SFIXED64]: long,
  [ScalarType.UINT64]: longNatural,
  [ScalarType.FIXED64]: longNatural,
  [ScalarType.FLOAT]: real,
  [ScalarType.DOUBLE]: real,
};
