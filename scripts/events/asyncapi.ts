import type { Command, Move } from '../../server/domain/lifecycle.ts';
import { eventTypeOf } from '../../server/doors/convert/event.ts';
import { dataSchemas, type Json, schemaRef } from './data-schema.ts';
import { headersOf, headersSchema, structuredSchema } from './envelope-schema.ts';
import type { EventType } from './event-types.ts';
import { exampleEvents } from './examples.ts';
import { publisherOf } from './published.ts';

/** What the coordinator sends to NATS, as AsyncAPI 3 describes it; with the envelope as it is elsewhere. */
export function asyncApi(types: readonly EventType[]): Json {
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Events of DSTC',
      version: 'v1',
      description: [
        'Every change of a task, a task type, its circuit, a namespace, a worker session or the policy, as a CloudEvent 1.0.',
        'Told at least once, the same each time, and in the order of `ce-sequence` for each subject of CloudEvents.',
        'Described is the binary form, which is the default. `docs/events.md` says more.',
      ].join('\n'),
      license: { name: 'Apache-2.0' },
    },
    defaultContentType: 'application/json',
    servers: {
      nats: {
        ...{ host: '{host}', protocol: 'nats', description: 'NATS with JetStream.' },
        variables: { host: { default: 'localhost:4222', description: 'Of the installation.' } },
      },
    },
    channels: byName(types, channel),
    operations: byName(types, operation),
    components: {
      parameters,
      messages: byName(types, message(examplesByType())),
      schemas: {
        EventHeaders: headersSchema,
        CloudEvent: structuredSchema(types),
        ...dataSchemas(types.map(({ data }) => data)),
      },
    },
  };
}

const parameters: Readonly<Record<string, Json>> = {
  cell: { description: 'The name of the installation, as an escaped token.', default: 'dstc' },
  namespace: { description: 'Where it happened, as an escaped token.', examples: ['default'] },
  taskType: {
    description: 'The name of the task type: each of its parts is an escaped token, with dots between them.',
    examples: ['email.send'],
  },
};

/** What has no task type, or no namespace, has this in its place: neither can be called so. */
const none = '_';
const withTaskType: ReadonlySet<string> = new Set(['task', 'task_type', 'circuit']);

function addressOf({ thing, what }: EventType): string {
  const namespace = thing === 'policy' ? none : '{namespace}';
  return ['{cell}', namespace, thing, withTaskType.has(thing) ? '{taskType}' : none, what].join('.');
}

function channel(type: EventType): Json {
  const address = addressOf(type);
  const named = Object.keys(parameters).filter((name) => address.includes(`{${name}}`));
  return {
    ...{ address, description: type.when, servers: [{ $ref: '#/servers/nats' }] },
    parameters: Object.fromEntries(named.map((name) => [name, { $ref: `#/components/parameters/${name}` }])),
    messages: { [type.name]: { $ref: `#/components/messages/${type.name}` } },
  };
}

function operation({ name }: EventType): Json {
  return {
    ...{ action: 'send', channel: { $ref: `#/channels/${name}` } },
    messages: [{ $ref: `#/channels/${name}/messages/${name}` }],
  };
}

function message(examples: ReadonlyMap<string, Json>) {
  return (type: EventType): Json => ({
    ...{ name: type.type, summary: type.when, ...causes(type) },
    ...{ contentType: 'application/json', headers: headersOf(type), payload: schemaRef(type.data.name) },
    examples: [examples.get(type.type)],
  });
}

/** The moves of a task that lead to the event, for people and for programs. */
function causes({ moves }: EventType): Json {
  if (moves.length === 0) return {};
  return {
    description: ['Moves that it tells of:', ...moves.map(sentence)].join('\n'),
    'x-moves': moves.map(bareMove),
  };
}

function sentence({ from, command, when, to, why }: Move): string {
  const conditions = when.filter((condition) => condition !== 'otherwise');
  const circumstances = conditions.length === 0 ? '' : ` (${conditions.join(' and ')})`;
  return `- \`${from}\` to \`${to}\` by ${words(command)}${circumstances}: ${why}`;
}

function bareMove({ from, command, when, to, why }: Move): Json {
  return { from, command, when, to, why };
}

/** `expireRun` becomes `expire run`. */
function words(command: Command): string {
  return command.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/** An event of each type, as it is published. */
function examplesByType(): ReadonlyMap<string, Json> {
  const published = publisherOf('dstc');
  return new Map(
    exampleEvents().map((event) => {
      const { headers, payload } = published(event);
      return [eventTypeOf(event), { headers, payload }];
    }),
  );
}

function byName(types: readonly EventType[], toPart: (type: EventType) => Json): Json {
  return Object.fromEntries(types.map((type) => [type.name, toPart(type)]));
}
