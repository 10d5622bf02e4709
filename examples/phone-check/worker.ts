import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connectionFor, RetryableError, Worker } from '@dstc/sdk';
import { type CheckNumberInput, checkNumber } from './check-number.ts';
import type { PhoneProvider } from './provider.ts';
import { googleLibphonenumber } from './providers/google-libphonenumber.ts';
import { libphonenumberJs } from './providers/libphonenumber-js.ts';

const providers: ReadonlyMap<string, PhoneProvider> = new Map(
  [libphonenumberJs, googleLibphonenumber].map((provider) => [provider.name, provider]),
);

/** After this many numbers that the provider could not read, the worker makes way for another provider, */
const failuresMax = 3;
/** and comes back after this long. */
const restMs = 20_000;
const concurrency = 4;

const { values } = parseArgs({ options: { provider: { type: 'string', default: googleLibphonenumber.name } } });
const provider = providers.get(values.provider);
if (provider === undefined) {
  console.error(`there is no provider "${values.provider}"; there are ${[...providers.keys()].join(' and ')}`);
  process.exit(2);
}

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());

while (!stop.signal.aborted) {
  await workUntilIncapable(provider, stop.signal);
  if (stop.signal.aborted) break;
  console.log(`${provider.name} could not read ${failuresMax} numbers: resting for ${restMs / 1_000} s`);
  // Aborted when the worker is stopped meanwhile.
  await sleep(restMs, undefined, { signal: stop.signal }).catch(() => undefined);
}

/** Works until stopped, or until the provider has failed too often. */
async function workUntilIncapable(provider: PhoneProvider, stopped: AbortSignal): Promise<void> {
  const tripped = new AbortController();
  let failures = 0;
  const worker = new Worker({
    ...connectionFor('worker'),
    concurrency,
    name: `phone-check ${provider.name}`,
    onConnected: () => console.log(`${provider.name} is ready to check numbers`),
  });
  worker.handle('checknumber', (input: CheckNumberInput) => {
    try {
      return checkNumber(provider, input);
    } catch (error) {
      if (error instanceof RetryableError) {
        failures += 1;
        if (failures === failuresMax) tripped.abort();
      }
      throw error;
    }
  });
  await worker.run({ signal: AbortSignal.any([stopped, tripped.signal]) });
}
