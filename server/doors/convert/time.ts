import {
  type Duration,
  durationFromMs,
  type Timestamp,
  timestampDate,
  timestampFromDate,
} from '@bufbuild/protobuf/wkt';
import { fieldInvalid } from '../../domain/errors.ts';

/** Milliseconds of a duration; the contract's rules have seen its range, but not its nanoseconds. */
function msOf(field: string, duration: Duration): number {
  const { seconds, nanos } = duration;
  const isMixed = (seconds > 0n && nanos < 0) || (seconds < 0n && nanos > 0);
  if (Math.abs(nanos) > 999_999_999 || isMixed) throw fieldInvalid(field, 'has nanoseconds out of range');
  return Number(seconds) * 1_000 + Math.round(nanos / 1_000_000);
}

export function optionalMs(field: string, duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : msOf(field, duration);
}

export function dateOf(field: string, timestamp: Timestamp): Date {
  if (timestamp.nanos < 0 || timestamp.nanos > 999_999_999) throw fieldInvalid(field, 'has nanoseconds out of range');
  return timestampDate(timestamp);
}

export function optionalDate(field: string, timestamp: Timestamp | undefined): Date | undefined {
  return timestamp === undefined ? undefined : dateOf(field, timestamp);
}

export const toTimestamp = timestampFromDate;
export const toDuration = durationFromMs;
