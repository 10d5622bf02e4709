import { create } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { EventService, RebuildEventsRequestSchema } from '@dstc/contract/dstc/v1/event_service_pb';
import type { Caller } from './caller.ts';

export interface RebuildEventsOptions {
  /** What happened at this time or later; left out, everything that history holds. */
  readonly since?: Date | undefined;
}

/** Has events published to NATS once more. */
export async function rebuildEvents(caller: Caller, { since }: RebuildEventsOptions = {}): Promise<void> {
  const request = create(
    RebuildEventsRequestSchema,
    since === undefined ? {} : { startTime: timestampFromDate(since) },
  );
  await caller.unary(EventService.method.rebuildEvents, request);
}
