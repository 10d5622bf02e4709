import { connect } from 'node:net';

/** Addresses behind a proxy cannot be tried from here. */
const proxyVariables = ['grpc_proxy', 'https_proxy', 'http_proxy'] as const;
const tryMs = 3_000;

/**
 * Throws when it is certain that nobody listens at an address. A person at a terminal wants to know at once, whereas the SDK
 * keeps trying for half a minute, as a program wants it to when a coordinator restarts.
 */
export async function requireListener(env: NodeJS.ProcessEnv, address: string): Promise<void> {
  if (proxyVariables.some((name) => env[name] || env[name.toUpperCase()])) return;
  const failure = await failureOf(address);
  if (failure === 'ECONNREFUSED' || failure === 'ENOTFOUND') {
    const what = failure === 'ENOTFOUND' ? 'there is no such host as that of' : 'nobody listens at';
    throw new Error(`${what} ${address}; start a coordinator with dstc dev, or name another one with --address`);
  }
}

/** The system's code for what went wrong, if anything did in time. */
function failureOf(address: string): Promise<string | undefined> {
  if (!URL.canParse(`tcp://${address}`)) return Promise.resolve(undefined);
  const { hostname, port } = new URL(`tcp://${address}`);
  if (port === '') return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port), timeout: tryMs });
    const end = (code?: string) => {
      socket.destroy();
      resolve(code);
    };
    socket.once('connect', () => end());
    socket.once('timeout', () => end());
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code));
  });
}
