import type { ReplayWebhookDeliveriesRequest } from '@dstc/contract/dstc/v1/webhook_service_pb';
import { fieldInvalid } from '../../domain/errors.ts';
import type { Replay } from '../../events/webhooks/webhooks.ts';
import { dateOf } from './time.ts';

/** Which deliveries are to be sent again. */
export function replayOf({ which }: ReplayWebhookDeliveriesRequest): Replay {
  switch (which.case) {
    case undefined:
      throw fieldInvalid('which', 'is required');
    case 'eventId':
      return { of: 'event', eventId: which.value };
    case 'deadLetters':
      return { of: 'dead letters' };
    case 'since':
      return { of: 'since', since: dateOf('since', which.value) };
  }
}
