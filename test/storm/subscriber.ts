import { setTimeout as pause } from 'node:timers/promises';
import { type Client, clientCredentials, createClient, DstcError } from '@dstc/sdk';
import type { Sighting } from '../setup/read-stream.ts';
import { joinStorm, settings, tell } from './messages.ts';
import { createRandom } from './random.ts';

/**
 * Subscribes to the events of all tasks, on one coordinator after the other, whatever becomes of them: each goes on after
 * the last event that was taken from the one before.
 */
joinStorm();
const { seed, addresses, ca, issuer, clientId, clientSecret } = settings();
const random = createRandom(seed);
const credentials = clientCredentials({ issuer, clientId, clientSecret });
const clients = addresses.map((address) => createClient({ address, credentials, tls: { ca } }));
/** Before there was any task. */
const since = new Date(Date.now() - 60_000);
const gatherMs = 50;
let cursor: string | undefined;
let untold: Sighting[] = [];
for (;;) await subscribe(random.pick(clients), Math.round(random.between(1_000, 12_000)));

async function subscribe(client: Client, stayMs: number): Promise<void> {
  const signal = AbortSignal.timeout(stayMs);
  const onCursor = (reached: string) => {
    cursor = reached;
  };
  try {
    for await (const event of client.events({ types: ['dstc.task.*'], cursor, since, signal, onCursor })) {
      note(event);
      ({ cursor } = event);
    }
  } catch (error) {
    if (signal.aborted) return;
    tell({ kind: 'refused', why: error instanceof DstcError ? `${error.code} ${error.reason}` : String(error) });
    await pause(random.between(50, 300));
  }
}

function note({ subject, sequence, id }: Sighting): void {
  if (untold.push({ subject, sequence, id }) > 1) return;
  setTimeout(() => {
    tell({ kind: 'seen by subscription', events: untold });
    untold = [];
  }, gatherMs);
}
