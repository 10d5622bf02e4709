import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import type { Callers } from '../auth/caller.ts';

/** A port that serves the contract. */
export interface Door {
  readonly address: { readonly host: string; readonly port: number };
  /** Takes no new calls and resolves when those under way have ended, or after `drainMs`. */
  drain(): Promise<void>;
  /** Ends everything at once. */
  stop(): Promise<void>;
}

export interface DoorDeps {
  readonly log: Logger;
  readonly callers: Callers;
  /** Rejects while the node cannot serve. */
  readonly ready: () => Promise<void>;
}

/** `127.0.0.1:7420` or `[::1]:7420`. */
export function parseAddress(address: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new Error(`${JSON.stringify(address)} is not an address such as 127.0.0.1:7420`);
  return { host: match[1] ?? (match[2] === '' || match[2] === undefined ? '0.0.0.0' : match[2]), port };
}

export function formatAddress({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

export function isAddressInfo(address: AddressInfo | string | null): address is AddressInfo {
  return typeof address === 'object' && address !== null;
}

/** What to tell someone whose port another process has. */
export function listenError(address: string, variable: string, cause: unknown): Error {
  const text = cause instanceof Error ? cause.message : String(cause);
  if (/EADDRINUSE/.test(text)) {
    const { port } = parseAddress(address);
    return new Error(`port ${port} is in use by another process; stop it, or set ${variable} to another address`, {
      cause,
    });
  }
  return new Error(`cannot listen on ${address} (${variable}): ${text}`, { cause });
}
