import { randomUUID } from 'node:crypto';
import { type PlacesWanted, placesFor, type QueueRoom, roomGoodMs } from '../domain/queue-room.ts';
import type { Database, Sql } from '../store/database.ts';
import type { TypeName } from '../store/limited-types.ts';
import {
  countQueue,
  lockQueueRoom,
  selectQueueRoom,
  takeBackExpiredPlaces,
  writeReservation,
} from '../store/queue-reservations.ts';

/** What a node asks for. */
export interface PlacesAsked {
  /** Reservations that it has no use for any more. */
  readonly endedIds: readonly string[];
  /** Asked when it is known how many there are: meanwhile there may be use for more. */
  readonly wanted: () => PlacesWanted;
  readonly lifeMs: number;
}

export type Reserved =
  | { readonly kind: 'reserved'; readonly id: string; readonly places: number }
  /** There is none; when it is worth asking again. */
  | { readonly kind: 'full'; readonly againMs: number }
  /** The type has no limit any more. */
  | { readonly kind: 'unlimited' };

/**
 * Reserves places of a queue. What waits, what is reserved and what is free never come to more than the limit: the room is
 * reckoned with by one node at a time, and counted anew only when the last count, of whichever node, is too old.
 */
export function reservePlaces(
  { database }: { readonly database: Database },
  type: TypeName,
  { endedIds, wanted, lifeMs }: PlacesAsked,
): Promise<Reserved> {
  return database.shortTransaction<Reserved>(async (sql, ends) => {
    const { queueMax, room: known } = await ends.first(async () => {
      // On one connection, so that the second begins, and looks, when the first has the lock.
      const [, found] = await Promise.all([lockQueueRoom(sql, type), selectQueueRoom(sql, type)]);
      return found;
    });
    if (queueMax === null) return { kind: 'unlimited' };
    const isGood = known !== undefined && known.queueMax === queueMax && known.ageMs < roomGoodMs(known);
    const room = isGood ? known : await countRoom(sql, type, { queueMax, endedIds });
    const places = placesFor(wanted(), room.free);
    const id = randomUUID();
    if (places > 0 || !isGood || endedIds.length > 0) {
      await ends.last(() =>
        writeReservation(sql, type, {
          reservation: { id, places, lifeMs },
          endedIds,
          free: room.free - places,
          queueMax,
          tookMs: isGood ? undefined : room.tookMs,
        }),
      );
    }
    if (places > 0) return { kind: 'reserved', id, places };
    return { kind: 'full', againMs: Math.max(1, roomGoodMs(room) - room.ageMs) };
  });
}

/** What waits for its commit holds a reservation, so that it is among the reserved places until it is among the tasks. */
async function countRoom(
  sql: Sql,
  type: TypeName,
  { queueMax, endedIds }: { readonly queueMax: number; readonly endedIds: readonly string[] },
): Promise<QueueRoom> {
  const startedMs = performance.now();
  // The count must not look before what expired is gone: what was on its way by that would be in neither number.
  const [, { waiting, reserved }] = await Promise.all([
    takeBackExpiredPlaces(sql, type),
    countQueue(sql, type, { countMax: queueMax, endedIds }),
  ]);
  const tookMs = performance.now() - startedMs;
  return { free: Math.max(0, queueMax - waiting - reserved), queueMax, ageMs: 0, tookMs };
}
