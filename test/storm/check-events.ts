import type postgres from 'postgres';
import { lastLife, unseenBySubscription, unseenOnStream } from './catch-up.ts';
import type { Property, Violation } from './property.ts';
import type { StormRecord } from './record.ts';
import { type Happened, invented, selectHappened } from './sightings.ts';

/** What happened in the times when NATS was away is worth a line of its own from so much on. */
const outageEventsMin = 5;

/** Holds what was seen of the events, in NATS and by subscription, against the history in Postgres. */
export async function checkEvents(sql: postgres.Sql, record: StormRecord, tasksMin: number): Promise<Property[]> {
  // Most tasks are submitted, leased, started and ended.
  const samplesMin = 3 * tasksMin;
  const { happened } = record;
  if (happened === undefined) throw new Error('nobody has waited for the events');
  const now = await selectHappened(sql);
  return [
    ...(record.hasNats ? await onStream(sql, record, { happened, now, samplesMin }) : []),
    ...bySubscription(record, { happened, now, samplesMin }),
  ];
}

interface Wanted {
  /** When all tasks had ended. */
  readonly happened: Happened & { readonly seenMs: number };
  /** After the last sighting. */
  readonly now: Happened;
  readonly samplesMin: number;
}

async function onStream(
  sql: postgres.Sql,
  record: StormRecord,
  { happened, now, samplesMin }: Wanted,
): Promise<Property[]> {
  const lives = [...record.onStream.values()];
  const missing = unseenOnStream(record, happened);
  const again = sumOf(lives.map((life) => life.again));
  const samples = sumOf(lives.map((life) => life.first));
  const figure = `${lastLife(record).otherIds.size} of no task; ${lives.length} lives of the stream, ${again} came again`;
  return [
    {
      name: 'every event is on the stream',
      violations: missing.map(ofEvent),
      samples: happened.count,
      samplesMin,
      figure,
    },
    {
      name: 'events on the stream are in order',
      violations: lives.flatMap(({ late }) => late.map(ofEvent)),
      samples,
      samplesMin,
      figure: `the last one was seen ${Math.round(happened.seenMs)} ms after the last task had ended`,
    },
    {
      name: 'what is on the stream has happened',
      violations: lives.flatMap((life) => invented(now, life).map(ofEvent)),
      samples,
      samplesMin,
    },
    await ofOutages(sql, record, new Set(missing)),
  ];
}

/** What happened while NATS was away is told when it is back. */
async function ofOutages(sql: postgres.Sql, record: StormRecord, missing: ReadonlySet<string>): Promise<Property> {
  const outages = record.faults.filter(({ target }) => target === 'NATS');
  const events = await sql<{ id: string }[]>`
    SELECT task_id || ':' || sequence AS id FROM task_event
    WHERE EXISTS (
      SELECT FROM unnest(${outages.map(({ fromMs }) => fromMs)}::float8[], ${outages.map(({ toMs }) => toMs)}::float8[])
        AS outage(from_ms, to_ms)
      WHERE time BETWEEN to_timestamp(from_ms / 1000) AND to_timestamp(to_ms / 1000)
    )`;
  const violations = events.filter(({ id }) => missing.has(id)).map(({ id }) => ofEvent(id));
  const name = 'events while NATS was away are on the stream';
  return { name, violations, samples: events.length, samplesMin: outageEventsMin, figure: `${outages.length} outages` };
}

function bySubscription(record: StormRecord, { happened, now, samplesMin }: Wanted): Property[] {
  const { subscribed } = record;
  const { first, again, late } = subscribed;
  const violations = [
    ...unseenBySubscription(record, happened).map((id) => ofEvent(`${id} was not seen`)),
    ...late.map(ofEvent),
    ...invented(now, subscribed).map(ofEvent),
    ...(again === 0 ? [] : [{ text: `${again} came again` }]),
  ];
  return [{ name: 'a subscriber sees each event of a task once, in order', violations, samples: first, samplesMin }];
}

function ofEvent(text: string): Violation {
  const taskId = /^[0-9a-f-]{36}(?=:\d)/.exec(text)?.[0];
  return { text, ...(taskId !== undefined && { taskId }) };
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}
