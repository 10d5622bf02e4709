import { type DescMessage, type JsonValue, type Message, toBinary, toJson } from '@bufbuild/protobuf';
import { timestampDate } from '@bufbuild/protobuf/wkt';
import { type Event, EventSchema } from '@dstc/contract/dstc/v1/event_pb';

/** The forms in which the bindings of CloudEvents carry an event. */
export const cloudEventFormats = ['binary', 'protobuf', 'structured'] as const;
export type CloudEventFormat = (typeof cloudEventFormats)[number];

/** An event as headers and a body. */
export interface CloudEventMessage {
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array;
}

const structuredType = 'application/cloudevents+json; charset=utf-8';
const dataTypes = { binary: 'application/json', protobuf: 'application/protobuf' } as const;

/**
 * `binary`: attributes in `ce-` headers, the data as JSON; `protobuf`: the same with the data as the protobuf message that
 * its type names; `structured`: everything as one JSON object.
 */
export function cloudEventMessage(event: Event, format: CloudEventFormat): CloudEventMessage {
  if (format === 'structured') {
    return { headers: [['content-type', structuredType]], body: encode(JSON.stringify(structuredEvent(event))) };
  }
  const headers: (readonly [string, string])[] = [['content-type', dataTypes[format]]];
  eachAttribute(event, (name, value) => headers.push([headerOf[name], headerValue(value)]));
  const { schema, message } = dataOf(event);
  const body = format === 'protobuf' ? toBinary(schema, message) : encode(JSON.stringify(toJson(schema, message)));
  return { headers, body };
}

/** An event as the JSON format of CloudEvents has it. */
export function structuredEvent(event: Event): Readonly<Record<string, JsonValue>> {
  const attributes: Record<string, string> = {};
  eachAttribute(event, (name, value) => {
    attributes[name] = value;
  });
  return { ...attributes, datacontenttype: dataTypes.binary, data: dataJson(event) };
}

/** The data of an event: the JSON form of its message. */
function dataJson(event: Event): JsonValue {
  const { schema, message } = dataOf(event);
  return toJson(schema, message);
}

/** All attributes that have a value, apart from the content type, in the order in which people read them. */
function eachAttribute(event: Event, take: (name: AttributeName, value: string) => void): void {
  for (const name of attributeNames) {
    const value = attributeOf[name](event);
    if (value !== '') take(name, value);
  }
}

const attributeOf = {
  specversion: () => '1.0',
  id: ({ id }) => id,
  type: ({ type }) => type,
  source: ({ source }) => source,
  subject: ({ subject }) => subject,
  time: ({ time }) => (time === undefined ? '' : timestampDate(time).toISOString()),
  namespace: ({ namespace }) => namespace,
  tasktype: ({ taskType }) => taskType,
  // The extension wants an order of strings.
  sequence: ({ sequence }) => String(sequence).padStart(sequenceDigits, '0'),
  sequencetype: () => 'Integer',
  actor: ({ actor }) => actor,
  traceparent: ({ traceParent }) => traceParent,
} as const satisfies Record<string, (event: Event) => string>;

type AttributeName = keyof typeof attributeOf;
const attributeNames = Object.keys(attributeOf) as readonly AttributeName[];

const headerOf = Object.fromEntries(attributeNames.map((name) => [name, `ce-${name}`])) as Record<
  AttributeName,
  string
>;

/** Of a 32-bit integer. */
const sequenceDigits = 10;

function dataOf(event: Event): { readonly schema: DescMessage; readonly message: Message } {
  const { case: name, value } = event.data;
  const schema = name === undefined ? undefined : dataSchemas.get(name);
  if (schema === undefined || value === undefined) throw new Error(`event ${event.id} has no data`);
  return { schema, message: value };
}

const dataSchemas = new Map(
  EventSchema.fields.flatMap((field) =>
    field.oneof?.localName === 'data' && field.message !== undefined ? [[field.localName, field.message] as const] : [],
  ),
);

/** As the HTTP binding has it: headers are printable ASCII, and what is not is written as its UTF-8 bytes. */
function headerValue(value: string): string {
  if (/^[\x21\x23\x24\x26-\x7e]*$/.test(value)) return value;
  return value
    .toWellFormed()
    .replace(/[^\x21\x23\x24\x26-\x7e]+/g, (part) =>
      Array.from(encode(part), (byte) => `%${byte.toString(16).padStart(2, '0').toUpperCase()}`).join(''),
    );
}

function encode(text: string): Uint8Array {
  return Buffer.from(text);
}
