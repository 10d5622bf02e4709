import type { CloudEvent as CloudEventMessage } from '@dstc/contract/dstc/v1/cloud_event_pb';
import type { CloudEvent } from '../../domain/cloud-event.ts';
import { payloadOf } from './payload.ts';

/** An event as the contract has it; a field that is empty is an attribute that is unset. */
export function cloudEventOf(message: CloudEventMessage): CloudEvent {
  return {
    id: message.id,
    source: message.source,
    type: message.type,
    subject: message.subject || undefined,
    time: message.time || undefined,
    dataSchema: message.dataSchema || undefined,
    extensions: message.extensions,
    data: message.data && payloadOf('data', message.data),
  };
}
