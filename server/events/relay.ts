import type { Logger } from 'pino';
import { eventIdOf } from '../doors/convert/event.ts';
import type { StoredEvent } from '../store/select-events.ts';
import type { SqlDatabase } from '../store/sql-database.ts';
import type { EventBus } from './bus.ts';
import { createMessageWriter } from './bus-message.ts';
import type { CloudEventFormat } from './cloud-event.ts';
import { type ShardReader, type ShardReaderDeps, startShardReader } from './shard-reader.ts';

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
  const messageOf = createMessageWriter(cell, format);
  /** For as long as a shard is held: ids of a batch that failed which are stored, and need not be published once more. */
  const storedOf = new WeakMap<AbortSignal, ReadonlySet<string>>();

  async function deliver(_: number, events: readonly StoredEvent[], signal: AbortSignal): Promise<void> {
    const stored = storedOf.get(signal);
    const waves = wavesOf(events);
    for (const [index, wave] of waves.entries()) {
      signal.throwIfAborted();
      const messages = wave.map(messageOf).filter(({ id }) => stored === undefined || !stored.has(id));
      const outcomes = await bus.publish(messages);
      const error = outcomes.find((outcome) => outcome !== undefined);
      if (error === undefined) continue;
      const before = waves.slice(0, index).flatMap((events) => events.map(eventIdOf));
      const now = messages.flatMap(({ id }, index) => (outcomes[index] === undefined ? id : []));
      storedOf.set(signal, new Set([...(stored ?? []), ...before, ...now]));
      throw error;
    }
    storedOf.delete(signal);
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
