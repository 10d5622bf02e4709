import { setTimeout as sleep } from 'node:timers/promises';

/** Waits; rejects with the signal's own reason once that is aborted. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, signal && { signal });
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
}
