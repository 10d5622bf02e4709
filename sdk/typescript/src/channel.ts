import { type ChannelOptions, Client, credentials } from '@grpc/grpc-js';
import { isLoopback } from './loopback.ts';

export interface TlsOptions {
  /** PEM certificates of the authorities to trust, instead of the system's. */
  readonly ca?: string | Uint8Array | undefined;
  /** PEM certificate chain and key of this client, for mutual TLS. */
  readonly certificate?: string | Uint8Array | undefined;
  readonly key?: string | Uint8Array | undefined;
}

export interface Endpoint {
  /** `host:port`. */
  readonly address: string;
  /**
   * Left out: TLS, except to a loopback address. `false` sends tokens and payloads in clear text and is meant for
   * networks that encrypt by themselves.
   */
  readonly tls?: boolean | TlsOptions | undefined;
}

export const addressDefault = '127.0.0.1:7420';

/** One HTTP/2 connection to one coordinator, opened when first used and re-opened when lost. */
export function openChannel({ address, tls }: Endpoint): Client {
  const loopback = isLoopback(hostOf(address));
  const secure = tls ?? !loopback;
  const options: ChannelOptions = {
    ...channelOptions,
    // A proxy of the environment is for what lies outside.
    'grpc.enable_http_proxy': loopback ? 0 : 1,
  };
  return new Client(address, secure ? tlsCredentials(secure) : credentials.createInsecure(), options);
}

const channelOptions: ChannelOptions = {
  // A peer that vanished without a word is noticed within 15 s.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  // The default of 4 MiB is less than what a coordinator may send.
  'grpc.max_receive_message_length': 16 * 1024 * 1024,
  // The SDK waits between tries by itself; a channel that waits two minutes on top would hide a coordinator that is back.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  // Clients share neither a connection nor its back-off.
  'grpc.use_local_subchannel_pool': 1,
};

function tlsCredentials(tls: true | TlsOptions) {
  if (tls === true) return credentials.createSsl();
  const pem = (value: string | Uint8Array | undefined) => (value === undefined ? null : Buffer.from(value));
  return credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.certificate));
}

/** The host of `host:port`, without the brackets of an IPv6 address. */
export function hostOf(address: string): string {
  const parts = /^(?:\[([^\]]+)\]|([^:/]+)):(\d+)$/.exec(address);
  const host = parts?.[1] ?? parts?.[2];
  if (host === undefined)
    throw new TypeError(`"${address}" is not an address; write host:port, such as ${addressDefault}`);
  return host;
}
