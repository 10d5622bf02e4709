import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';

/** Where the certificates of a node are. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Authorities whose client certificates are demanded; undefined demands none. */
  readonly clientCaFile: string | undefined;
}

/** What Node's servers take, for their start and for a change. */
export interface TlsServerOptions {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Of those whose certificates clients must have. */
  readonly ca?: Buffer;
  readonly requestCert?: true;
  readonly rejectUnauthorized?: true;
  readonly minVersion: 'TLSv1.2';
}

/** What both ports prove themselves with; it follows its files. */
export interface Tls {
  readonly options: () => TlsServerOptions;
  /** Calls back with what new connections are to be served with. */
  readonly onChange: (listener: (options: TlsServerOptions) => void) => void;
  readonly close: () => void;
}

const pollMsDefault = 10_000;

/**
 * Reads the files and goes on looking at them, so that a certificate is renewed without a restart. While they do not
 * fit together, as in the middle of a renewal, the last good ones hold. Rejects when the first ones do not.
 */
export async function openTls(
  { log, pollMs = pollMsDefault }: { readonly log: Logger; readonly pollMs?: number },
  files: TlsFiles,
): Promise<Tls> {
  let options = await readOptions(files);
  let refused: string | undefined;
  const listeners: ((options: TlsServerOptions) => void)[] = [];

  async function poll(): Promise<void> {
    try {
      const next = await readOptions(files);
      refused = undefined;
      if (isSame(next, options)) return;
      options = next;
      for (const listener of listeners) listener(next);
      log.info({ file: files.certFile }, 'the certificate has changed');
    } catch (error) {
      // Once is enough to say it, until something else is wrong.
      const why = String(error);
      if (why !== refused) log.error({ err: error }, 'the new certificate cannot be used; the last good one holds');
      refused = why;
    }
  }

  let polling = false;
  const timer = setInterval(() => {
    if (polling) return;
    polling = true;
    void poll().finally(() => {
      polling = false;
    });
  }, pollMs);
  timer.unref();

  return {
    options: () => options,
    onChange: (listener) => void listeners.push(listener),
    close: () => clearInterval(timer),
  };
}

/** Throws when a file cannot be read, or the key is not that of the certificate. */
async function readOptions({ certFile, keyFile, clientCaFile }: TlsFiles): Promise<TlsServerOptions> {
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  const plain: TlsServerOptions = { cert, key, minVersion: 'TLSv1.2' };
  const options: TlsServerOptions =
    clientCaFile === undefined
      ? plain
      : { ...plain, ca: await readFile(clientCaFile), requestCert: true, rejectUnauthorized: true };
  try {
    createSecureContext(options);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`the certificate ${certFile} and the key ${keyFile} cannot be used: ${why}`, { cause });
  }
  return options;
}

function isSame(one: TlsServerOptions, other: TlsServerOptions): boolean {
  return (['cert', 'key', 'ca'] as const).every((part) => String(one[part]) === String(other[part]));
}
