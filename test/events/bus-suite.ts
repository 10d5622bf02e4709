import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BusMessage, EventBus } from '../../server/events/bus.ts';
import type { HintChannel } from '../../server/events/hint-channel.ts';

/** A bus as the suite sees it: nodes that join, and what a consumer has found. */
export interface BusUnderTest {
  readonly join: () => Promise<Member>;
  /** Every message that is stored, in order. */
  readonly stored: () => Promise<readonly StoredMessage[]>;
  readonly stop: () => Promise<void>;
}

export interface Member {
  readonly bus: EventBus;
  readonly hints: HintChannel;
}

export interface StoredMessage {
  readonly subject: string;
  readonly id: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly data: string;
}

/** Resolves when the message is stored. */
export async function publish(bus: EventBus, message: BusMessage): Promise<void> {
  const [error] = await bus.publish([message]);
  if (error !== undefined) throw error;
}

/** What every bus does. */
export function busSuite(name: string, start: () => Promise<BusUnderTest>): void {
  describe(name, () => {
    let bus: BusUnderTest;
    let self: Member;
    let node: EventBus;

    beforeEach(async () => {
      bus = await start();
      self = await bus.join();
      node = self.bus;
      await able(node);
    });
    afterEach(() => bus.stop());

    it('stores what is published, with its headers and its bytes', async () => {
      const message = messageOf('a:1', { data: 'é\u0000', headers: 'ce-id: a:1' });
      await publish(node, message);
      expect(await bus.stored()).toEqual([
        { subject: message.subject, id: 'a:1', headers: { 'ce-id': 'a:1' }, data: 'é\u0000' },
      ]);
      expect(node.counts).toMatchObject({ published: 1, duplicates: 0 });
    });

    it('stores bytes as they are, between messages of text', async () => {
      const data = ['one', Buffer.from([0x00, 0xff, 0x0d, 0x0a, 0xc3]), 'drei: ä€😀', new Uint8Array(), 'five'];
      const messages = data.map((data, index) => messageOf(`a:${index}`, { data }));
      expect(await node.publish(messages)).toEqual(data.map(() => undefined));
      expect((await bus.stored()).map(({ data }) => data)).toEqual(data.map((data) => Buffer.from(data).toString()));
    });

    it('stores an event once, however often and by whomever it is published', async () => {
      const { bus: other } = await bus.join();
      await able(other);
      await publish(node, messageOf('a:1'));
      await Promise.all([publish(node, messageOf('a:1')), publish(other, messageOf('a:1'))]);
      await publish(other, messageOf('a:2'));
      expect((await bus.stored()).map(({ id }) => id)).toEqual(['a:1', 'a:2']);
      expect(node.counts.duplicates + other.counts.duplicates).toBe(2);
    });

    it('keeps the order of messages that wait for each other', async () => {
      const ids = Array.from({ length: 200 }, (_, index) => `a:${index}`);
      for (const id of ids) await publish(node, messageOf(id));
      expect((await bus.stored()).map(({ id }) => id)).toEqual(ids);
    });

    it('takes thousands at a time', async () => {
      const ids = Array.from({ length: 3_000 }, (_, index) => `t${index}:1`);
      const messages = ids.map((id) => messageOf(id, { subject: `dstc.default.task.x.${id}` }));
      expect(await node.publish(messages)).toEqual(ids.map(() => undefined));
      expect(new Set((await bus.stored()).map(({ id }) => id))).toEqual(new Set(ids));
    });

    it('carries hints to the other nodes, and not to the one that gives them', async () => {
      const other = await bus.join();
      await connected([self.hints, other.hints]);
      const heard: string[] = [];
      self.hints.listen((hint) => heard.push(String(Buffer.from(hint))));
      const arrived = new Promise<void>((resolve) => {
        other.hints.listen((hint) => String(Buffer.from(hint)) === '{"v":1}' && resolve());
      });
      self.hints.give(Buffer.from('{"v":1}'));
      await arrived;
      expect(heard).not.toContain('{"v":1}');
    });

    it('is unable once it is closed', async () => {
      await node.close();
      expect(node.isAble()).toBe(false);
    });
  });
}

export function messageOf(id: string, message: Partial<BusMessage> = {}): BusMessage {
  return { id, subject: 'dstc.default.task.email.send.submitted', headers: '', data: '{}', ...message };
}

/** Resolves when the bus can publish. */
export async function able(bus: EventBus): Promise<void> {
  await new Promise<void>((resolve) => {
    bus.onChange(() => bus.isAble() && resolve());
    if (bus.isAble()) resolve();
  });
}

/** Resolves when each of two nodes has heard the other one. */
export async function connected([one, other]: readonly [HintChannel, HintChannel]): Promise<void> {
  const heard = Promise.all(
    [one, other].map((channel) => new Promise<Uint8Array>((resolve) => channel.listen(resolve))),
  );
  const timer = setInterval(() => {
    for (const channel of [one, other]) channel.give(Buffer.from('{}'));
  }, 10);
  await heard;
  clearInterval(timer);
}
