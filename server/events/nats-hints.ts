import type { Logger } from 'pino';
import type { HintChannel } from './hint-channel.ts';
import { openNatsLink } from './nats-connection.ts';
import type { NatsSettings } from './nats-settings.ts';

export interface NatsHintsOptions {
  readonly settings: NatsSettings;
  readonly cell: string;
  readonly node: string;
}

/** Hints over a plain subject of NATS, and a connection of their own, which waits behind no events. */
export function connectNatsHints({ log }: { readonly log: Logger }, options: NatsHintsOptions): HintChannel {
  const { settings, cell, node } = options;
  const listeners: ((hint: Uint8Array) => void)[] = [];
  // No cell is called so: their names have small letters.
  const subject = `DSTC_HINTS.${cell}`;

  const link = openNatsLink({ log }, settings, {
    name: `dstc ${node} hints`,
    onUp(connection, isNew) {
      if (!isNew) return;
      connection.subscribe(subject, {
        callback(error, message) {
          if (error === null) for (const listener of listeners) listener(message.data);
        },
      });
    },
    onDown: () => undefined,
  });

  return {
    give(hint) {
      try {
        link.current()?.publish(subject, hint);
      } catch (error) {
        // A server may take less than a hint has, and a connection may close just now.
        log.debug({ err: error }, 'a hint was not given');
      }
    },
    listen: (listener) => void listeners.push(listener),
    close: link.close,
  };
}
