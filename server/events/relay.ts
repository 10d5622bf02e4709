import type { Logger } from 'pino';
import { toEvent } from '../doors/convert/event.ts';
import type { Database } from '../store/database.ts';
import type { StoredEvent } from '../store/select-events.ts';
import type { BusMessage, EventBus } from './bus.ts';
import { type CloudEventFormat, cloudEventMessage } from './cloud-event.ts';
import { type ShardReader, type ShardReaderDeps, startShardReader } from './shard-reader.ts';
import { subjectOf } from './subject.ts';

export interface RelayDeps extends ShardReaderDeps {
  readonly database: Database;
  readonly bus: EventBus;
  readonly log: Logger;
}

export interface RelayOptions {
  readonly cell: string;
  readonly format: CloudEventFormat;
}

/** Events of a shard that are on their way to the bus at a time. */
const eventsMax = 500;

/**
 * Publishes every event. Those of one subject go one after the other, each when the one before is known to be stored, so
 * that no repeat can change their order; different subjects go side by side. A place is stored when all before it is.
 */
export function startRelay({ bus, ...deps }: RelayDeps, { cell, format }: RelayOptions): ShardReader {
  /** For as long as a shard is held: what is stored of a batch that failed, and need not be published once more. */
  const storedOf = new WeakMap<AbortSignal, Set<string>>();

  async function deliver(_: number, events: readonly StoredEvent[], signal: AbortSignal): Promise<void> {
    const stored = storedOf.get(signal) ?? new Set<string>();
    storedOf.set(signal, stored);
    const bySubject = Map.groupBy(events, (event) => event.position.subjectId);
    const chains = await Promise.allSettled(Array.from(bySubject.values(), (chain) => publish(chain, stored, signal)));
    for (const chain of chains) if (chain.status === 'rejected') throw chain.reason;
    storedOf.delete(signal);
  }

  async function publish(chain: readonly StoredEvent[], stored: Set<string>, signal: AbortSignal): Promise<void> {
    for (const event of chain) {
      const key = `${event.position.subjectId}:${event.position.sequence}`;
      if (stored.has(key)) continue;
      signal.throwIfAborted();
      await bus.publish(messageOf(event));
      stored.add(key);
    }
  }

  function messageOf(stored: StoredEvent): BusMessage {
    const event = toEvent(stored, cell);
    const { headers, body } = cloudEventMessage(event, format);
    return { id: event.id, subject: subjectOf(cell, event), headers, data: body };
  }

  const reader = startShardReader(deps, { reader: 'nats', deliver, isAble: bus.isAble, eventsMax });
  bus.onChange(reader.look);
  return reader;
}
