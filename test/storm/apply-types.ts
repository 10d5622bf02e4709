import { clientCredentials, createClient, type TaskTypeDefinition } from '@dstc/sdk';
import type { TestIdentityProvider } from '../setup/identity-provider.ts';
import { concurrency, hauntedRunMs, type PlanType, planTypes, rate } from './plan.ts';

/** What types are beside what all of them are. */
const own: { readonly [Type in PlanType]?: Partial<TaskTypeDefinition> } = {
  'storm.haunted': { deadlines: { runMs: hauntedRunMs } },
  'storm.limited': { limits: { key: { inputPointer: '/key' }, ...concurrency } },
  'storm.steered': { limits: { rate } },
  'storm.fused': { circuitBreaker: { openMs: 1_500, probes: 1 } },
};

/** Applies the types of a storm; `ca` is of the coordinator at the address. */
export async function applyTypes(
  identity: TestIdentityProvider,
  address: string | undefined,
  ca: string,
): Promise<void> {
  const credentials = clientCredentials({ issuer: identity.issuer, ...identity.clients.operator });
  const client = createClient({ address, credentials, tls: { ca } });
  try {
    for (const name of planTypes) {
      // Attempts are not what ends a task here: a storm costs some.
      const retry = { attemptsMax: 50, initialDelayMs: 100, multiplier: 1 };
      await client.types.apply({ name, retry, ...own[name] });
    }
  } finally {
    client.close();
  }
}
