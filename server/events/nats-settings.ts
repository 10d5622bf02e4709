import type { CloudEventFormat } from './cloud-event.ts';

/** How NATS is reached and how the stream is to be made. */
export interface NatsSettings {
  /** Such as `nats.example.com:4222`. */
  readonly servers: readonly string[];
  readonly hasTls: boolean;
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  /** One of these at most. The files are read again for every connection. */
  readonly credentialsFile: string | undefined;
  readonly nkeyFile: string | undefined;
  readonly token: string | undefined;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly stream: string;
  readonly replicas: number;
  /** 0 keeps events for ever. */
  readonly maxAgeMs: number;
  /** 0 is no limit. */
  readonly maxBytes: number;
  readonly format: CloudEventFormat;
}
