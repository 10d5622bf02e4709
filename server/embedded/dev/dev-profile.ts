import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DevProfile } from '@dstc/sdk';
import { stringify } from 'yaml';

/** What a coordinator beside the one of the start needs to share its database. */
export interface CoordinatorSettings {
  readonly DATABASE_URL: string;
  readonly DSTC_ISSUER: string;
  readonly DSTC_POLICY_FILE: string;
  readonly NATS_URL?: string;
  readonly DSTC_NATS_TOKEN?: string;
}

/** Where clients find what they need to connect. */
const profileFile = 'dev.json';
/** Where a second coordinator finds its settings, as `DSTC_CONFIG_FILE`. */
export const coordinatorFile = 'coordinator.yaml';

/** Leaves what clients and further coordinators need, for the eyes of this user alone. */
export async function writeDevProfile(
  dataDir: string,
  profile: DevProfile,
  coordinator: CoordinatorSettings,
): Promise<void> {
  const settings = Object.entries(coordinator).map(([name, value]) => [
    name.replace(/^DSTC_/, '').toLowerCase(),
    value,
  ]);
  await writePrivately(join(dataDir, coordinatorFile), stringify(Object.fromEntries(settings)));
  await writePrivately(join(dataDir, profileFile), `${JSON.stringify(profile, undefined, 2)}\n`);
}

/** There is nothing to connect to any more. */
export async function removeDevProfile(dataDir: string): Promise<void> {
  await Promise.all([profileFile, coordinatorFile].map((file) => rm(join(dataDir, file), { force: true })));
}

/** In one step: a reader finds all of it or nothing. */
async function writePrivately(file: string, text: string): Promise<void> {
  await writeFile(`${file}.partial`, text, { mode: 0o600 });
  await rename(`${file}.partial`, file);
}
