import asyncApi3 from '@asyncapi/specs/schemas/3.0.0.json' with { type: 'json' };
import type { JsonObject } from '@bufbuild/protobuf';
import { FailureKind } from '@dstc/contract/dstc/v1/task_pb';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exampleEvents } from '../../scripts/events/examples.ts';
import { publisherOf } from '../../scripts/events/published.ts';
import { eventKinds, moves } from '../../server/domain/lifecycle.ts';
import { systemEventKinds } from '../../server/domain/system-event.ts';
import { eventTypeOf, taskTypeOf } from '../../server/doors/convert/event.ts';
import { structuredEvent } from '../../server/events/cloud-event.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { allShardsAfter, type StoredEvent, selectEventsAfter } from '../../server/store/select-events.ts';
import { type EngineRig, failure, quickRetry, release, startEngineRig, success } from '../engine/rig.ts';
import { leaseOf } from '../setup/raw-worker.ts';
import { checkOf, document, errorsOf } from './asyncapi-document.ts';

const messages = Object.entries(document.components.messages);

/** What the document calls the type of an event. */
function nameOf(event: StoredEvent): string {
  const name = messages.find(([, message]) => message.name === eventTypeOf(event))?.[0];
  if (name === undefined) throw new Error(`the document has no ${eventTypeOf(event)}`);
  return name;
}

const published = publisherOf('dstc');

/** What of an event in all its forms is not as the document says. */
function deviations(event: StoredEvent): string[] {
  const message = `#/components/messages/${nameOf(event)}`;
  const { headers, payload } = published(event);
  return [
    ...errorsOf(checkOf(`${message}/headers`), headers),
    ...errorsOf(checkOf(`${message}/payload`, { isClosed: true }), payload),
    ...errorsOf(checkOf('#/components/schemas/CloudEvent'), structuredEvent(event, 'dstc')),
  ];
}

describe('the document', () => {
  test('is one of AsyncAPI 3.0', () => {
    // The schema brings its own meta-schema.
    const ajv = new Ajv({ strict: false, allErrors: true, meta: false, validateSchema: false });
    addFormats.default(ajv);
    const check = ajv.compile(asyncApi3);
    expect(errorsOf(check, document)).toEqual([]);
    expect(errorsOf(check, { ...document, channels: { broken: { address: 7 } } })).not.toEqual([]);
  });

  test('refers to nothing that is not there', () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path = '']) => path);
    expect(references.length).toBeGreaterThan(100);
    const missing = references.filter(
      (path) =>
        path.split('/').reduce<unknown>((part, name) => (part as JsonObject | undefined)?.[name], document) ===
        undefined,
    );
    expect(missing).toEqual([]);
  });

  test('has a channel with its parameters, a message and an operation for each kind of event, and no other', () => {
    const types = [...eventKinds.map((kind) => `task.${kind}`), ...systemEventKinds].map((kind) => `dstc.${kind}.v1`);
    expect(messages.map(([, { name }]) => name).toSorted()).toEqual(types.toSorted());
    const names = messages.map(([name]) => name);
    expect(Object.keys(document.channels)).toEqual(names);
    expect(Object.values(document.operations).map(({ channel }) => channel.$ref)).toEqual(
      names.map((name) => `#/channels/${name}`),
    );
    for (const { address, parameters } of Object.values(document.channels)) {
      expect([...address.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)).toEqual(Object.keys(parameters));
    }
    const addresses = Object.values(document.channels).map(({ address }) => address);
    expect(new Set(addresses).size).toBe(addresses.length);
  });

  test('has the subjects of events as the addresses of their channels', () => {
    const inCell = publisherOf('cell-1');
    for (const event of exampleEvents()) {
      const address = document.channels[nameOf(event)]?.address
        .replace('{cell}', 'cell-1')
        .replace('{namespace}', event.namespace)
        .replace('{taskType}', taskTypeOf(event) ?? '');
      expect(inCell(event).subject).toBe(address);
    }
  });

  test('says of each event of a task which moves it tells of', () => {
    const told = messages.flatMap(([, { description }]) => [...(description ?? '').matchAll(/^- `/gm)]);
    expect(told).toHaveLength(moves.length);
    expect(document.components.messages.taskReleased?.description).toContain(
      '- `RUNNING` to `PENDING` by undeliver (not accepted): the assignment was lost on the way: no attempt is spent',
    );
  });
});

describe('the schema of the data', () => {
  test('accepts the example of each type, and knows everything in it', () => {
    for (const [name, { examples }] of messages) {
      expect(examples).toHaveLength(1);
      for (const { headers, payload } of examples) {
        const message = `#/components/messages/${name}`;
        expect(errorsOf(checkOf(`${message}/payload`, { isClosed: true }), payload)).toEqual([]);
        expect(errorsOf(checkOf(`${message}/headers`), headers)).toEqual([]);
      }
    }
  });

  test.each(exampleEvents().map((stored) => [stored.kind, stored] as const))(
    'accepts %s with all that can be told, and refuses what is of another type',
    (_, stored) => {
      const full =
        stored.of === 'task'
          ? {
              ...stored,
              ...{ leaseId: stored.position.subjectId, sessionId: stored.position.subjectId, reason: 'why' },
              ...{ error: { code: 'A', message: 'b', kind: 'FATAL' } as const, retryDelayMs: 86_400_000_123 },
            }
          : stored;
      const { payload: data } = published(full);
      expect(data).not.toEqual({});
      expect(deviations(full)).toEqual([]);
      const check = checkOf(`#/components/messages/${nameOf(full)}/payload`, { isClosed: true });
      for (const [name, value] of Object.entries(data)) {
        const other = typeof value === 'object' ? 'text' : { of: 'another type' };
        expect(errorsOf(check, { ...data, [name]: other })).not.toEqual([]);
      }
      expect(errorsOf(check, { ...data, unheardOf: true })).not.toEqual([]);
    },
  );
});

describe('the envelope', () => {
  const failed = () => {
    const stored = exampleEvents().find(({ kind }) => kind === 'failed');
    if (stored === undefined) throw new Error('there is no example of a failure');
    return stored;
  };

  test('in its structured form has the data that its type says', () => {
    const check = checkOf('#/components/schemas/CloudEvent');
    const event = structuredEvent(failed(), 'dstc');
    expect(errorsOf(check, event)).toEqual([]);
    expect(errorsOf(check, { ...event, data: { task: { id: 7 } } })).not.toEqual([]);
    expect(errorsOf(check, { ...event, type: 'dstc.policy.changed.v1', data: { digest: 7 } })).not.toEqual([]);
    expect(errorsOf(check, { ...event, type: 'dstc.task.eaten.v1' })).not.toEqual([]);
    for (const name of Object.keys(event)) {
      const isOptional = ['namespace', 'tasktype', 'traceparent'].includes(name);
      expect(errorsOf(check, { ...event, [name]: undefined }).length === 0).toBe(isOptional);
    }
  });

  test('in its binary form has the attributes as headers, with the type of its channel', () => {
    const check = checkOf('#/components/messages/taskFailed/headers');
    const { headers } = published(failed());
    expect(errorsOf(check, headers)).toEqual([]);
    expect(errorsOf(check, { ...headers, 'ce-type': 'dstc.task.paused.v1' })).not.toEqual([]);
    expect(errorsOf(check, { ...headers, 'ce-time': 'yesterday' })).not.toEqual([]);
    expect(errorsOf(check, { ...headers, 'ce-id': undefined })).not.toEqual([]);
  });
});

describe('what a coordinator writes', () => {
  let rig: EngineRig;
  let database: Database;
  beforeAll(async () => {
    rig = await startEngineRig();
    database = openDatabase({ url: rig.coordinator.databaseUrl, connections: 1, applicationName: 'asyncapi' });
  });
  afterAll(async () => {
    await database.close();
    await rig.stop();
  });

  test('is as the document says', async () => {
    const type = await rig.type({ retryPolicy: { ...quickRetry, attemptsMax: 2 } });
    const worker = await rig.workerOf(type, 3);
    for (let n = 0; n < 3; n += 1) await rig.submit(type, { labels: { n: String(n) } });
    const [good, bad, back] = (await worker.assignments(3)).map(leaseOf);
    if (good === undefined || bad === undefined || back === undefined) throw new Error('three tasks were submitted');
    worker.send(success(good));
    worker.send(failure(bad, { code: 'KEY_REVOKED', kind: FailureKind.FATAL }));
    worker.send(release(back));
    await worker.settlements([good, bad, back]);
    await rig.types.pauseTaskType({ name: type, reason: 'enough' });
    await rig.namespaces.pauseNamespace({ namespace: 'elsewhere', reason: '' });
    await rig.workers.drainWorker({ sessionId: worker.session.sessionId, within: { seconds: 60n } });

    const wanted = ['task.submitted', 'task.leased', 'task.succeeded', 'task.failed', 'task.released'];
    const others = ['task_type.applied', 'task_type.paused', 'circuit.opened', 'namespace.paused', 'policy.changed'];
    const types = [...wanted, ...others, 'worker_session.started', 'worker_session.drained'];
    await expect
      .poll(async () => (await written()).map(eventTypeOf), { timeout: 8_000 })
      .toEqual(expect.arrayContaining(types.map((kind) => `dstc.${kind}.v1`)));
    for (const event of await written()) {
      expect({ event, deviations: deviations(event) }).toEqual({ event, deviations: [] });
    }
  });

  async function written(): Promise<StoredEvent[]> {
    const start = { order: '0', subjectId: '00000000-0000-0000-0000-000000000000', sequence: 0, timeMs: 0 };
    const shards = await database.run((sql) => selectEventsAfter(sql, allShardsAfter(start), 1_000));
    return shards.flatMap(({ events }) => events);
  }
});
