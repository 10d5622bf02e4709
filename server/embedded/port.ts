import { createServer } from 'node:net';
import { hasErrorCode } from './error-code.ts';
import { portOwner } from './port-owner.ts';
import { StartError } from './start-error.ts';

export interface PortUse {
  readonly host: string;
  readonly port: number;
  /** What wants it, for the message. */
  readonly user: string;
  /** The environment variable that chooses another one. */
  readonly variable: string;
}

/** Refuses a port that somebody else listens on, before anything is started that would only say so in its log. */
export async function checkPortIsFree({ host, port, user, variable }: PortUse): Promise<void> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
  } catch (error) {
    if (hasErrorCode(error, 'EADDRINUSE')) {
      const owner = await portOwner(port);
      throw new StartError(
        `port ${port} on ${host} is taken${owner === undefined ? '' : ` by ${owner}`}, and ${user} needs it; choose another with ${variable}`,
      );
    }
    if (hasErrorCode(error, 'EACCES', 'EADDRNOTAVAIL')) {
      throw new StartError(
        `${user} may not listen on ${host}:${port} (${error}); choose another port with ${variable}`,
      );
    }
    throw error;
  }
  await new Promise((resolve) => server.close(resolve));
}
