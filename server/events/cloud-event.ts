import type { JsonValue } from '@bufbuild/protobuf';
import { eventIdOf, eventSourceOf, eventSubjectOf, eventTypeOf, taskTypeOf } from '../doors/convert/event.ts';
import type { StoredEvent } from '../store/select-events.ts';
import { eventDataBinary, eventDataJson } from './event-data.ts';

/** The forms in which the bindings of CloudEvents carry an event. */
export const cloudEventFormats = ['binary', 'protobuf', 'structured'] as const;
export type CloudEventFormat = (typeof cloudEventFormats)[number];

const dataTypes = { binary: 'application/json', protobuf: 'application/protobuf' } as const;
const contentTypes = { ...dataTypes, structured: 'application/cloudevents+json; charset=utf-8' } as const;

type Attributes = Readonly<Record<string, (event: StoredEvent, cell: string) => string>>;

/** Attributes that all events of one kind have in common that are of one namespace and task type. */
const commonAttributes = {
  specversion: () => '1.0',
  type: eventTypeOf,
  source: (_, cell) => eventSourceOf(cell),
  namespace: ({ namespace }) => namespace,
  tasktype: (event) => taskTypeOf(event) ?? '',
  sequencetype: () => 'Integer',
} as const satisfies Attributes;

const ownAttributes = {
  id: eventIdOf,
  subject: eventSubjectOf,
  time: ({ position }) => new Date(position.timeMs).toISOString(),
  // The extension wants an order of strings.
  sequence: ({ position }) => String(position.sequence).padStart(sequenceDigits, '0'),
  actor: ({ actor }) => actor,
  traceparent: (event) => (event.of === 'task' ? (event.traceParent ?? '') : ''),
} as const satisfies Attributes;

/** Of a 32-bit integer. */
const sequenceDigits = 10;

/** An event as the JSON format of CloudEvents has it; `cell` is the name of this installation. */
export function structuredEvent(event: StoredEvent, cell: string): Readonly<Record<string, JsonValue>> {
  const attributes: Record<string, string> = {};
  for (const [name, read] of Object.entries({ ...commonAttributes, ...ownAttributes })) {
    const value = read(event, cell);
    if (value !== '') attributes[name] = value;
  }
  return { ...attributes, datacontenttype: dataTypes.binary, data: eventDataJson(event) };
}

/**
 * `binary`: attributes in `ce-` headers, the data as JSON; `protobuf`: the same with the data as the protobuf message that
 * its type names; `structured`: everything as one JSON object.
 */
export interface CloudEventForm {
  /** Lines that are the same for all events of a kind, namespace and task type; between them are line ends. */
  readonly commonHeaders: (event: StoredEvent) => string;
  /** Lines of this event alone, each after a line end. */
  readonly ownHeaders: (event: StoredEvent) => string;
  readonly body: (event: StoredEvent) => string | Uint8Array;
}

/** Events of one installation in one of the forms. A header is `name: value`, in printable ASCII. */
export function cloudEventForm(format: CloudEventFormat, cell: string): CloudEventForm {
  const contentType = `content-type: ${contentTypes[format]}`;
  if (format === 'structured') {
    return {
      commonHeaders: () => contentType,
      ownHeaders: () => '',
      body: (event) => JSON.stringify(structuredEvent(event, cell)),
    };
  }
  const [commonHeaders, ownHeaders] = [headersOf(commonAttributes, cell), headersOf(ownAttributes, cell)];
  return {
    commonHeaders: (event) => contentType + commonHeaders(event),
    ownHeaders,
    body: format === 'protobuf' ? eventDataBinary : (event) => JSON.stringify(eventDataJson(event)),
  };
}

/** Those that have a value, each after a line end. */
function headersOf(attributes: Attributes, cell: string): (event: StoredEvent) => string {
  const named = Object.entries(attributes).map(([name, read]) => {
    return { start: `\r\nce-${name}: `, read, isPlain: plain.has(name) };
  });
  return (event) => {
    let lines = '';
    for (const { start, read, isPlain } of named) {
      const value = read(event, cell);
      if (value !== '') lines += start + (isPlain ? value : headerValue(value));
    }
    return lines;
  };
}

/** Printable ASCII whatever happened, so that nobody has to look. */
const plain: ReadonlySet<string> = new Set<keyof typeof ownAttributes>(['id', 'time', 'sequence']);

/** As the HTTP binding has it: headers are printable ASCII, and what is not is written as its UTF-8 bytes. */
function headerValue(value: string): string {
  if (/^[\x21\x23\x24\x26-\x7e]*$/.test(value)) return value;
  return value
    .toWellFormed()
    .replace(/[^\x21\x23\x24\x26-\x7e]+/g, (part) =>
      Array.from(Buffer.from(part), (byte) => `%${byte.toString(16).padStart(2, '0').toUpperCase()}`).join(''),
    );
}
