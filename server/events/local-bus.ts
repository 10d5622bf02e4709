import type { BusMessage, EventBus } from './bus.ts';
import type { HintChannel } from './hint-channel.ts';

/** A bus within one process, for as many nodes as join it. */
export interface LocalBus {
  readonly join: () => { readonly bus: EventBus; readonly hints: HintChannel };
  /** Hears each event once. */
  readonly listen: (listener: (message: BusMessage) => void) => void;
}

interface Member {
  readonly onChange: (() => void)[];
  readonly onHint: ((hint: Uint8Array) => void)[];
}

/** So many events are remembered, to tell doubles. */
const idsMax = 100_000;

/**
 * What a node has without NATS. Its events stay in the database: there is nobody to publish to until somebody in this
 * process listens. Hints reach the other nodes of the process.
 */
export function createLocalBus(): LocalBus {
  const members = new Set<Member>();
  const listeners: ((message: BusMessage) => void)[] = [];
  const ids = new Set<string>();

  function isNews(id: string): boolean {
    if (ids.has(id)) return false;
    ids.add(id);
    const [oldest] = ids;
    if (ids.size > idsMax && oldest !== undefined) ids.delete(oldest);
    return true;
  }

  return {
    join() {
      const self: Member = { onChange: [], onHint: [] };
      const counts = { published: 0, duplicates: 0, reconnects: 0 };
      members.add(self);
      const bus: EventBus = {
        counts,
        isAble: () => members.has(self) && listeners.length > 0,
        onChange: (listener) => void self.onChange.push(listener),
        async publish(messages) {
          for (const message of messages) {
            if (isNews(message.id)) for (const listener of listeners) listener(message);
            else counts.duplicates += 1;
            counts.published += 1;
          }
          return messages.map(() => undefined);
        },
        close,
      };
      const hints: HintChannel = {
        give(hint) {
          for (const member of members) if (member !== self) for (const listener of member.onHint) listener(hint);
        },
        listen: (listener) => void self.onHint.push(listener),
        close,
      };
      async function close(): Promise<void> {
        members.delete(self);
      }
      return { bus, hints };
    },
    listen(listener) {
      listeners.push(listener);
      for (const { onChange } of members) for (const change of onChange) change();
    },
  };
}
