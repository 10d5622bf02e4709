import type { JsonObject } from '@bufbuild/protobuf';
import { createMessageWriter } from '../../server/events/bus-message.ts';
import type { StoredEvent } from '../../server/store/select-events.ts';

/** An event as a consumer has it. */
export interface PublishedEvent {
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: JsonObject;
}

/** Events in their binary form, which is the default. */
export function publisherOf(cell: string): (event: StoredEvent) => PublishedEvent {
  const messageOf = createMessageWriter(cell, 'binary');
  return (event) => {
    const { subject, headers, data } = messageOf(event);
    return { subject, headers: headersIn(headers), payload: JSON.parse(Buffer.from(data).toString()) };
  };
}

/** The headers of a message by their names. */
export function headersIn(lines: string): Readonly<Record<string, string>> {
  if (lines === '') return {};
  return Object.fromEntries(
    lines.split('\r\n').map((line) => {
      const end = line.indexOf(': ');
      return [line.slice(0, end), line.slice(end + 2)];
    }),
  );
}
