import type { Logger } from 'pino';
import { toEvent } from '../doors/convert/event.ts';
import type { StoredEvent } from '../store/select-events.ts';
import type { SqlDatabase } from '../store/sql-database.ts';
import type { BusMessage, EventBus } from './bus.ts';
import { type CloudEventFormat, cloudEventMessage } from './cloud-event.ts';
import { type ShardReader, type ShardReaderDeps, startShardReader } from './shard-reader.ts';
import { subjectOf } from './subject.ts';

export interface RelayDeps extends ShardReaderDeps {
  readonly database: SqlDatabase;
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
  /** For as long as a shard is held: ids of a batch that failed which are stored, and need not be published once more. */
  const storedOf = new WeakMap<AbortSignal, Set<string>>();

  async function deliver(_: number, events: readonly StoredEvent[], signal: AbortSignal): Promise<void> {
    const stored = storedOf.get(signal) ?? new Set<string>();
    storedOf.set(signal, stored);
    for (const wave of wavesOf(events)) {
      signal.throwIfAborted();
      await publish(
        wave.map(messageOf).filter(({ id }) => !stored.has(id)),
        stored,
      );
    }
    storedOf.delete(signal);
  }

  async function publish(messages: readonly BusMessage[], stored: Set<string>): Promise<void> {
    const outcomes = await bus.publish(messages);
    for (const [index, { id }] of messages.entries()) if (outcomes[index] === undefined) stored.add(id);
    const error = outcomes.find((outcome) => outcome !== undefined);
    if (error !== undefined) throw error;
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

/** What may go side by side: the first events of all subjects, then the second ones, and so on. */
function wavesOf(events: readonly StoredEvent[]): StoredEvent[][] {
  const waves: StoredEvent[][] = [];
  const counts = new Map<string, number>();
  for (const event of events) {
    const count = counts.get(event.position.subjectId) ?? 0;
    counts.set(event.position.subjectId, count + 1);
    const wave = waves[count];
    if (wave === undefined) waves.push([event]);
    else wave.push(event);
  }
  return waves;
}
