import {
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { NatsSettings } from './nats-settings.ts';

/** The stream as it was found or made. */
export interface FoundStream {
  readonly name: string;
  /** Differs for a stream that was deleted and made again. */
  readonly identity: string;
  readonly lastSeq: number;
  /** Where it differs from the settings, in words. */
  readonly differences: readonly string[];
}

/** The stream cannot be used as it is; somebody has to change it, or the settings. */
class StreamUnfitError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StreamUnfitError';
  }
}

/** How long JetStream remembers ids; what is older than that is told apart by consumers. */
const duplicateWindowMs = 10 * 60_000;

/**
 * Finds the stream; undefined when it is not there. One that is there belongs to its operator: it is used as it is, or not
 * at all, and never changed.
 */
export async function findStream(
  manager: JetStreamManager,
  settings: NatsSettings,
  cell: string,
): Promise<FoundStream | undefined> {
  try {
    return checked(await manager.streams.info(settings.stream), settings, cell);
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound) return undefined;
    throw error;
  }
}

/** Makes the stream. Nodes that do so together all succeed. Needs nothing that NATS 2.9 does not have. */
export async function makeStream(
  manager: JetStreamManager,
  settings: NatsSettings,
  cell: string,
): Promise<FoundStream> {
  return checked(await manager.streams.add(wantedConfig(settings, cell)), settings, cell);
}

function checked(info: StreamInfo, settings: NatsSettings, cell: string): FoundStream {
  const problem = problemOf(info.config, cell);
  if (problem !== undefined) throw new StreamUnfitError(`the stream ${info.config.name} ${problem}`);
  return {
    name: info.config.name,
    identity: `${info.config.name} made ${info.created}`,
    lastSeq: info.state.last_seq,
    differences: differencesOf(info.config, wantedConfig(settings, cell)),
  };
}

type WantedConfig = Pick<
  StreamConfig,
  | 'name'
  | 'subjects'
  | 'retention'
  | 'storage'
  | 'discard'
  | 'num_replicas'
  | 'max_age'
  | 'max_bytes'
  | 'duplicate_window'
>;

function wantedConfig({ stream, replicas, maxAgeMs, maxBytes }: NatsSettings, cell: string): WantedConfig {
  const windowMs = maxAgeMs === 0 ? duplicateWindowMs : Math.min(duplicateWindowMs, maxAgeMs);
  return {
    name: stream,
    subjects: [`${cell}.>`],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    // The oldest go first: what is new is worth more.
    discard: DiscardPolicy.Old,
    num_replicas: replicas,
    max_age: nanos(maxAgeMs),
    max_bytes: maxBytes === 0 ? -1 : maxBytes,
    duplicate_window: nanos(windowMs),
  };
}

function problemOf(config: StreamConfig, cell: string): string | undefined {
  const covering = new Set([`${cell}.>`, '*.>', '>']);
  if (!config.subjects?.some((subject) => covering.has(subject))) return `does not store ${cell}.>`;
  if (config.no_ack === true) return 'acknowledges nothing (no_ack), so that nobody would know what it has';
  if (config.sealed === true) return 'is sealed and takes nothing';
  return undefined;
}

function differencesOf(config: StreamConfig, wanted: WantedConfig): string[] {
  const keys = ['retention', 'storage', 'discard', 'num_replicas', 'max_age', 'max_bytes', 'duplicate_window'] as const;
  return keys.flatMap((key) => (config[key] === wanted[key] ? [] : `${key} is ${config[key]}, not ${wanted[key]}`));
}
