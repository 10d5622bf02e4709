import type { ServiceImpl } from '@connectrpc/connect';
import type { EventService } from '@dstc/contract/dstc/v1/event_service_pb';
import type { Logger } from 'pino';
import { DstcError } from '../../domain/errors.ts';
import { positionBefore } from '../../domain/event-position.ts';
import { startAt } from '../../events/start.ts';
import type { Database } from '../../store/database.ts';
import { moveReaderBack } from '../../store/event-readers.ts';
import { callerOf } from '../context.ts';
import { optionalDate } from '../convert/time.ts';

export interface RebuildEventsDeps {
  readonly database: Database;
  readonly log: Logger;
}

/** Has what happened since a time, or all that history holds, published to NATS once more. */
export function rebuildEvents({
  database,
  log,
}: RebuildEventsDeps): Pick<ServiceImpl<typeof EventService>, 'rebuildEvents'> {
  return {
    async rebuildEvents(request, context) {
      const caller = callerOf(context);
      caller.requireEverywhere('operate');
      const since = optionalDate('start_time', request.startTime);
      const from = since === undefined ? positionBefore('0', 0) : (await startAt(database, since.getTime())).position;
      const isKnown = await database.run((sql) => moveReaderBack(sql, 'nats', from));
      if (!isKnown) throw new DstcError('UNIMPLEMENTED', 'no node publishes events: none was started with NATS_URL');
      log.warn({ since, actor: caller.principal.actor }, 'events are published once more');
      return {};
    },
  };
}
