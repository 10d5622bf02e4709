import { traceParentPattern } from '../../server/domain/trace-parent.ts';
import { type Json, schemaRef } from './data-schema.ts';
import type { EventType } from './event-types.ts';

interface Attribute {
  readonly description: string;
  readonly schema: Json;
  /** For which things it may be missing; none is the rule. */
  readonly isOptional?: true;
}

const text = { type: 'string', minLength: 1 };

/** The attributes of CloudEvents and our extensions, in the order in which people read them. */
const attributes: Readonly<Record<string, Attribute>> = {
  specversion: { description: 'The version of CloudEvents.', schema: { const: '1.0' } },
  id: {
    description: 'The same however often the event is delivered; with the source it is unique.',
    schema: text,
  },
  type: { description: 'What happened, with the version of the data.', schema: text },
  source: {
    description: 'The cell that it comes from, such as `/cells/dstc`.',
    schema: { ...text, format: 'uri-reference' },
  },
  subject: {
    description:
      'What it is about: the id of a task or of a worker session, the name of a task type or of a namespace, `policy`.',
    schema: text,
  },
  time: {
    description: 'When its transaction began, by the clock of the database.',
    schema: { type: 'string', format: 'date-time' },
  },
  namespace: { description: 'Where it happened; missing for the policy.', schema: text, isOptional: true },
  tasktype: {
    description: 'The task type it concerns; missing when it concerns none or several.',
    schema: text,
    isOptional: true,
  },
  sequence: {
    description: 'Its number among the events of its subject: 1, 2, 3 … without a gap, as ten digits.',
    schema: { type: 'string', pattern: '^[0-9]{10}$' },
  },
  sequencetype: { description: 'How the sequence is to be compared.', schema: { const: 'Integer' } },
  actor: { description: 'The principal that caused it, or `system:<part>`.', schema: text },
  traceparent: {
    description: 'Of the submission of the task (W3C Trace Context); missing without one.',
    schema: { type: 'string', pattern: traceParentPattern.source },
    isOptional: true,
  },
};

const required = Object.keys(attributes).filter((name) => attributes[name]?.isOptional !== true);

/** The attributes as properties, each under the name that `nameOf` gives it. */
function properties(nameOf: (attribute: string) => string): Json {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, { description, schema }]) => [nameOf(name), { description, ...schema }]),
  );
}

function header(attribute: string): string {
  return `ce-${attribute}`;
}

/** The headers of the binary form: of NATS messages and of webhooks. Their values are percent-encoded where they must be. */
export const headersSchema: Json = {
  type: 'object',
  description: 'The attributes of the event. What is not printable ASCII is percent-encoded, as UTF-8.',
  required: ['content-type', ...required.map(header)],
  properties: {
    'content-type': { description: 'Of the payload.', const: 'application/json' },
    'Nats-Msg-Id': { description: 'On NATS, mostly: the id of the event, by which JetStream drops doubles.', ...text },
    ...properties(header),
  },
};

/** The headers of one type. */
export function headersOf(type: EventType): Json {
  return {
    allOf: [schemaRef('EventHeaders'), { type: 'object', properties: { [header('type')]: { const: type.type } } }],
  };
}

/** The structured form: any event as one JSON object, with the data that its type says. */
export function structuredSchema(types: readonly EventType[]): Json {
  const common = properties((name) => name);
  return {
    type: 'object',
    description: 'An event in the structured form, application/cloudevents+json.',
    required: [...required, 'datacontenttype', 'data'],
    properties: {
      ...common,
      type: { description: attributes.type?.description, enum: types.map(({ type }) => type) },
      datacontenttype: { description: 'Of the data.', const: 'application/json' },
      data: { description: 'As its type says.', type: 'object' },
    },
    allOf: types.map(({ type, data }) => ({
      if: { type: 'object', properties: { type: { const: type } } },
      // biome-ignore lint/suspicious/noThenProperty: JSON Schema calls it so.
      then: { type: 'object', properties: { data: schemaRef(data.name) } },
    })),
  };
}
