import { DiscardPolicy, StorageType } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EventBus } from '../../server/events/bus.ts';
import type { HintChannel } from '../../server/events/hint-channel.ts';
import { startTestNats, type TestNats, testNatsPrograms } from '../setup/nats.ts';
import { able, busSuite, messageOf, publish } from './bus-suite.ts';
import { type NatsReader, natsHints, natsNode, openNatsReader } from './nats-rig.ts';

const programs = await testNatsPrograms();

describe.skipIf(programs.length === 0)('NATS', () => {
  for (const program of programs) {
    busSuite(`nats-server ${program.version}`, async () => {
      const nats = await startTestNats({ program });
      const reader = await openNatsReader(nats);
      const open: (EventBus | HintChannel)[] = [];
      return {
        async join() {
          const member = { bus: natsNode(nats).bus, hints: natsHints(nats) };
          open.push(member.bus, member.hints);
          return member;
        },
        stored: () => reader.stored(),
        async stop() {
          await Promise.all(open.map((one) => one.close()));
          await reader.close();
          await nats.stop();
        },
      };
    });

    describe(`nats-server ${program.version} and its stream`, () => {
      let nats: TestNats;
      let reader: NatsReader;
      let open: EventBus[];

      beforeEach(async () => {
        nats = await startTestNats({ program });
        reader = await openNatsReader(nats);
        open = [];
      });
      afterEach(async () => {
        await Promise.all(open.map((bus) => bus.close()));
        await reader.close();
        await nats.stop();
      });

      function node(...args: Parameters<typeof natsNode> extends [unknown, ...infer Rest] ? Rest : never) {
        const made = natsNode(nats, ...args);
        open.push(made.bus);
        return made;
      }

      it('is made as the settings say', async () => {
        const { bus, told } = node({ stream: 'events', maxAgeMs: 3_600_000, maxBytes: 10_000_000 });
        await able(bus);
        const { config } = await reader.manager.streams.info('events');
        expect(config).toMatchObject({
          subjects: ['dstc.>'],
          storage: StorageType.File,
          discard: DiscardPolicy.Old,
          max_age: nanos(3_600_000),
          max_bytes: 10_000_000,
          duplicate_window: nanos(600_000),
        });
        expect(told).toEqual(['missing', 'found']);
      });

      it('is used as its operator made it, and not changed', async () => {
        const made = { name: 'dstc', subjects: ['shop.>', 'dstc.>'], max_msgs: 10 };
        await reader.manager.streams.add({ ...made, storage: StorageType.Memory });
        const { bus, told } = node();
        await able(bus);
        await publish(bus, messageOf('a:1'));
        expect((await reader.manager.streams.info('dstc')).config).toMatchObject({
          ...made,
          storage: StorageType.Memory,
        });
        expect(told).toEqual(['found']);
      });

      it.each([
        ['stores other subjects', { subjects: ['dstc.default.>'] }],
        ['acknowledges nothing', { subjects: ['dstc.>'], no_ack: true }],
      ])('is not used when it %s, until that is mended', async (_, config) => {
        await reader.manager.streams.add({ name: 'dstc', ...config });
        const { bus, logged } = node();
        await logged('the stream cannot be used yet');
        expect(bus.isAble()).toBe(false);
        await reader.manager.streams.update('dstc', { subjects: ['dstc.>'], no_ack: false });
        await able(bus);
        await publish(bus, messageOf('a:1'));
      });

      it('is made anew when it is deleted, and said to be missing first', async () => {
        const { bus, told } = node();
        await able(bus);
        await publish(bus, messageOf('a:1'));
        await reader.manager.streams.delete('dstc');
        await expect(publish(bus, messageOf('a:2'))).rejects.toThrow('no stream stores this subject');
        await able(bus);
        await publish(bus, messageOf('a:2'));
        expect((await reader.stored()).map(({ id }) => id)).toEqual(['a:2']);
        expect(told).toEqual(['missing', 'found', 'missing', 'found']);
      });

      it('gets a message again that JetStream has seen and does not have any more', async () => {
        const { bus } = node();
        await able(bus);
        await publish(bus, messageOf('a:1', { headers: 'ce-id: a:1' }));
        await reader.manager.streams.purge('dstc');
        await publish(bus, messageOf('a:1', { headers: 'ce-id: a:1' }));
        expect((await reader.stored()).map(({ id }) => id)).toEqual(['a:1']);
        expect(bus.counts).toMatchObject({ published: 2, duplicates: 1 });
      });

      it('is not sent a message that is larger than the server takes, and stores the others', async () => {
        const { bus } = node();
        await able(bus);
        const messages = [messageOf('a:1'), messageOf('a:2', { data: 'x'.repeat(2_000_000) }), messageOf('a:3')];
        const outcomes = await bus.publish(messages);
        expect(outcomes[1]).toMatchObject({
          message: 'event a:2 could not be sent to NATS',
          cause: { name: 'RangeError' },
        });
        expect((await reader.stored()).map(({ id }) => id)).toEqual(['a:1', 'a:3']);
        expect(bus.counts).toMatchObject({ published: 2, reconnects: 0 });
      });

      it('is said to have lost what was acknowledged when its end is missing', async () => {
        const { bus, told } = node();
        await able(bus);
        await publish(bus, messageOf('a:1'));
        await nats.save();
        await nats.restart();
        await able(bus);
        await publish(bus, messageOf('a:2'));
        await nats.restart('saved');
        await able(bus);
        expect(told).toEqual(['missing', 'found', 'found', 'found, with losses']);
      });

      it('is published to again after an outage, of which everybody hears at once', async () => {
        const { bus } = node();
        await able(bus);
        await nats.kill();
        const underWay = publish(bus, messageOf('a:1'));
        await expect(underWay).rejects.toThrow();
        expect(bus.isAble()).toBe(false);
        await expect(publish(bus, messageOf('a:1'))).rejects.toThrow('NATS is away');
        await nats.restart();
        await able(bus);
        await publish(bus, messageOf('a:1'));
        expect((await reader.stored()).map(({ id }) => id)).toEqual(['a:1']);
        expect(bus.counts.reconnects).toBe(1);
      });
    });
  }

  it('may be away when a node starts, and is found when it comes', async () => {
    const [program] = programs;
    if (program === undefined) throw new Error('there is no nats-server');
    const nats = await startTestNats({ program });
    await nats.kill();
    const { bus } = natsNode(nats);
    await expect(publish(bus, messageOf('a:1'))).rejects.toThrow('NATS is away');
    await nats.restart();
    await able(bus);
    await bus.close();
    await nats.stop();
  });
});
