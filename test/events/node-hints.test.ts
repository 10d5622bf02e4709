import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LiveSession } from '../../server/engine/live-session.ts';
import type { HintChannel } from '../../server/events/hint-channel.ts';
import { createLocalBus } from '../../server/events/local-bus.ts';
import { startNodeHints } from '../../server/events/node-hints.ts';
import type { LeasedTask } from '../../server/store/lease-tasks.ts';
import { type DependencyRig, startDependencyRig } from '../engine/dependency-rig.ts';
import { startTestNats, testNatsProgram } from '../setup/nats.ts';
import { connected } from './bus-suite.ts';
import { natsHints } from './nats-rig.ts';

const program = await testNatsProgram();

/** Nothing in these engines happens because time passes: what one does for the other, it does because of a hint. */
hintSuite('over the bus within a process', async () => {
  const bus = createLocalBus();
  return { channels: [bus.join().hints, bus.join().hints], stop: async () => undefined };
});

describe.skipIf(program === undefined)('with NATS', () => {
  hintSuite('over NATS', async () => {
    if (program === undefined) throw new Error('there is no nats-server');
    const nats = await startTestNats({ program });
    const channels = [natsHints(nats), natsHints(nats)] as const;
    await connected(channels);
    return { channels, stop: () => nats.stop() };
  });
});

interface TwoChannels {
  readonly channels: readonly [HintChannel, HintChannel];
  readonly stop: () => Promise<void>;
}

function hintSuite(title: string, startChannels: () => Promise<TwoChannels>): void {
  describe(`hints ${title}`, () => {
    let rig: DependencyRig;
    let two: TwoChannels;
    let stops: (() => void)[];
    let looked: PromiseWithResolvers<void>;

    beforeEach(async () => {
      [rig, two] = await Promise.all([startDependencyRig(), startChannels()]);
      looked = Promise.withResolvers();
      stops = two.channels.map((channel, index) => {
        const engine = rig.engines[index];
        if (engine === undefined) throw new Error('two channels have two engines');
        const { sessions, dispatch, wake } = engine;
        const serves = (id: string) => sessions.get(id) !== undefined;
        return startNodeHints(channel, { ...dispatch, wake, serves, look: () => index === 1 && looked.resolve() }).stop;
      });
    });
    afterEach(async () => {
      for (const stop of stops) stop();
      await Promise.all(two.channels.map((channel) => channel.close()));
      await two.stop();
      await rig.stop();
    });

    it('start a task on a worker of the other node', async () => {
      const { given } = await worker(1, 10);
      const id = await rig.submit();
      expect((await given.next()).fence.taskId).toBe(id);
    });

    it('leave to the other node what this one has no room for', async () => {
      const [one, other] = [await worker(0, 2), await worker(1, 10)];
      const ids = await rig.submitAll(Array(6).fill([]));
      const taken = await Promise.all([one, one, other, other, other, other].map(({ given }) => given.next()));
      expect(new Set(taken.map(({ fence }) => fence.taskId))).toEqual(new Set(ids));
    });

    it('go on with a namespace on the other node', async () => {
      const { given } = await worker(1, 10);
      const [one] = rig.engines;
      const gate = { namespace: 'default', type: '', actor: 'operator', reason: '' };
      await one.gates.pause(gate);
      const id = await rig.submit();
      await one.gates.resume(gate);
      expect((await given.next()).fence.taskId).toBe(id);
    });

    it('tell whoever follows a task on the other node of its changes, and nobody else', async () => {
      const [one, other] = rig.engines;
      const heard: string[] = [];
      const ended = Promise.withResolvers<string>();
      other.wake.tasksChanged.listen(({ ids, ended: hasEnded }) => {
        heard.push(...ids);
        if (hasEnded) ended.resolve(ids.join());
      });
      const unfollowed = await rig.submit();
      await rig.order('cancel', unfollowed, one);
      const id = await rig.submit();
      const isFollowed = new Promise<void>((resolve) => {
        two.channels[0].listen(() => resolve());
      });
      const following = other.watch.follow([id], () => undefined);
      await isFollowed;
      await rig.order('cancel', id, one);
      expect(await ended.promise).toBe(id);
      expect(heard).not.toContain(unfollowed);
      following.stop();
    });

    it('have the node look that serves the worker of a task that is cancelled', async () => {
      const { given } = await worker(1, 10);
      const id = await rig.submit();
      await given.next();
      await rig.order('cancel', id, rig.engines[0]);
      await looked.promise;
    });

    it('say that there are events', async () => {
      const written = new Promise<void>((resolve) => {
        rig.engines[1].wake.eventsWritten.listen(() => resolve());
      });
      await rig.submit();
      await written;
    });

    it('that make no sense are passed over', async () => {
      const nonsense = [
        '',
        '{',
        '[]',
        'null',
        '{"due":[[1,2],["a","b","c"],null]}',
        `{"ended":[${'"x",'.repeat(9)}7]}`,
      ];
      for (const text of [...nonsense, '{"due":7,"sessions":{"a":1},"events":"yes"}', '\u0000\ufffd']) {
        two.channels[0].give(Buffer.from(text));
      }
      two.channels[0].give(Buffer.alloc(300_000, 'x'));
      const { given } = await worker(1, 10);
      const id = await rig.submit();
      expect((await given.next()).fence.taskId).toBe(id);
    });

    /** A worker session of one of the nodes, and what it is given. */
    async function worker(node: 0 | 1, slots: number) {
      const { sessions, dispatch } = rig.engines[node];
      const info = {
        ...{ namespace: 'default', actor: 'worker', may: () => true, slots, slotsByType: new Map([['work', slots]]) },
        ...{ labels: {}, sdkName: '', sdkVersion: '', buildVersion: '' },
      };
      const { sessionId } = await sessions.create(info);
      const waiting: ((task: LeasedTask) => void)[] = [];
      const arrived: LeasedTask[] = [];
      const outlet: LiveSession['outlet'] = {
        assign(tasks) {
          for (const task of tasks) {
            const taker = waiting.shift();
            if (taker === undefined) arrived.push(task);
            else taker(task);
          }
        },
        ...{ cancel: () => undefined, stop: () => undefined, lost: () => undefined, isCongested: () => false },
      };
      dispatch.join(sessions.attach(sessionId, info, outlet));
      await dispatch.idle();
      const next = () =>
        new Promise<LeasedTask>((resolve) => {
          const task = arrived.shift();
          if (task === undefined) waiting.push(resolve);
          else resolve(task);
        });
      return { given: { next } };
    }
  });
}
