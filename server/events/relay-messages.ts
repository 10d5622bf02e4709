import type { BusCounts } from './bus.ts';
import type { NatsSettings } from './nats-settings.ts';

/** What the thread of the relay is given when it starts. */
export interface RelayThreadData {
  readonly databaseUrl: string;
  readonly logLevel: string;
  readonly cell: string;
  readonly node: string;
  readonly nats: NatsSettings;
}

/** To the thread: events were written, or it is to end. */
export type ToRelay = 'written' | 'stop';

/** From the thread, each second. */
export interface RelayState {
  readonly kind: 'state';
  readonly lagMs: number;
  readonly shardCount: number;
  readonly counts: BusCounts;
}

/** From the thread: a line of its log, as JSON. */
export interface RelayLine {
  readonly kind: 'line';
  readonly line: string;
}

export type FromRelay = RelayState | RelayLine;
