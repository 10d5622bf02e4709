import { setTimeout as pause } from 'node:timers/promises';
import { parseAddress } from '../../doors/door.ts';
import { checkPortIsFree, type PortUse } from '../port.ts';
import { StartError } from '../start-error.ts';
import type { StartSettings } from './settings.ts';

/** What is left of a start that was killed ends within this time. */
const leftoverMsMax = 15_000;
const pollMs = 100;

/**
 * Refuses to start on ports that others have, naming all of them at once. After a start that was killed, its parts are
 * given the time to end.
 */
export async function checkPorts(settings: StartSettings, afterKill: boolean): Promise<void> {
  const uses = portsOf(settings, afterKill);
  const giveUp = performance.now() + (afterKill ? leftoverMsMax : 0);
  for (;;) {
    const problems = await problemsWith(uses);
    if (problems.length === 0) return;
    if (performance.now() >= giveUp) throw new StartError(problems.join('\n'));
    await pause(pollMs);
  }
}

function portsOf(settings: StartSettings, afterKill: boolean): readonly PortUse[] {
  const { grpcAddress, httpAddress, issuerPort, postgresPort, natsPort, databaseUrl, natsUrl, issuer } = settings;
  const host = '127.0.0.1';
  return [
    { ...parseAddress(grpcAddress), user: 'the coordinator (gRPC)', variable: 'DSTC_GRPC_ADDRESS' },
    { ...parseAddress(httpAddress), user: 'the coordinator (HTTP)', variable: 'DSTC_HTTP_ADDRESS' },
    ...(issuer ? [] : [{ host, port: issuerPort, user: 'the identity provider', variable: 'DSTC_ISSUER_PORT' }]),
    // A Postgres or a NATS that was left running is stopped by the start of the next one, which checks the port after that.
    ...(databaseUrl || afterKill
      ? []
      : [{ host, port: postgresPort, user: 'the embedded Postgres', variable: 'DSTC_POSTGRES_PORT' }]),
    ...(natsUrl || afterKill ? [] : [{ host, port: natsPort, user: 'the embedded NATS', variable: 'DSTC_NATS_PORT' }]),
  ];
}

async function problemsWith(uses: readonly PortUse[]): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const use of uses) {
    try {
      await checkPortIsFree(use);
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      problems.push(error.message);
    }
  }
  return problems;
}
