import type { DeliveryPosition } from '../../store/list-deliveries.ts';
import { positionOf, toPageToken } from './page-token.ts';

/** When a delivery was made, in microseconds, and of which event. */
const shape = /^([0-9]{1,17})\/([A-Za-z0-9:_.-]{1,256})$/;

export function toDeliveryPosition(list: readonly unknown[], { createMicros, eventId }: DeliveryPosition): string {
  return toPageToken(list, `${createMicros}/${eventId}`);
}

/** Undefined for the first page; throws PAGE_TOKEN_INVALID. */
export function deliveryPositionOf(list: readonly unknown[], token: string): DeliveryPosition | undefined {
  const [, createMicros, eventId] = shape.exec(positionOf(list, token, shape) ?? '') ?? [];
  return createMicros === undefined || eventId === undefined ? undefined : { createMicros, eventId };
}
