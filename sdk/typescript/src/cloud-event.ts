import { randomUUID } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { CloudEventSchema, type CloudEvent as ContractEvent } from '@dstc/contract/dstc/v1/cloud_event_pb';
import { encodePayload } from './payload.ts';

/** An event that happened elsewhere (CloudEvents 1.0). */
export interface CloudEvent {
  /** With `source` it says which event this is: sent again with both, it makes no second task. Default: a new one. */
  readonly id?: string | undefined;
  /** A URI reference, such as `/shop/orders`. */
  readonly source: string;
  /** Such as `com.example.order.placed`. */
  readonly type: string;
  readonly subject?: string | undefined;
  readonly time?: Date | string | undefined;
  readonly dataSchema?: string | undefined;
  /** Names are of lower-case letters and digits. */
  readonly extensions?: Readonly<Record<string, string>> | undefined;
  /** A BinaryPayload, or anything that JSON can hold; left out, the event has no data. */
  readonly data?: unknown;
}

export function contractEvent(event: CloudEvent): ContractEvent {
  const { id = randomUUID(), source, type, subject, time, dataSchema, extensions, data } = event;
  return create(CloudEventSchema, {
    id,
    source,
    type,
    ...(subject !== undefined && { subject }),
    ...(time !== undefined && { time: typeof time === 'string' ? time : time.toISOString() }),
    ...(dataSchema !== undefined && { dataSchema }),
    ...(extensions !== undefined && { extensions: { ...extensions } }),
    ...(data !== undefined && { data: encodePayload(data) }),
  });
}
