import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Who may do what in a storm. The coordinators read the file again when it changes. */
export interface StormPolicy {
  readonly file: string;
  /** Takes the right to work from a guest, or gives it back. */
  readonly admit: (guest: string, isWelcome: boolean) => Promise<void>;
}

export async function writeStormPolicy(directory: string, guests: readonly string[]): Promise<StormPolicy> {
  const file = join(directory, 'policy.json');
  const welcome = new Set(guests);

  async function write(): Promise<void> {
    await writeFile(`${file}.new`, JSON.stringify(policyFor([...welcome])));
    await rename(`${file}.new`, file);
  }
  await write();
  return {
    file,
    async admit(guest, isWelcome) {
      if (isWelcome) welcome.add(guest);
      else welcome.delete(guest);
      await write();
    },
  };
}

function policyFor(guests: readonly string[]): object {
  const bind = (role: string, client: string, types: readonly string[]) => ({
    role,
    claims: { client_id: client },
    namespaces: ['default'],
    task_types: types,
  });
  return {
    roles: {
      producer: ['submit', 'read', 'read_payload', 'cancel', 'redrive', 'pause'],
      worker: ['work', 'read'],
      operator: ['configure', 'read', 'operate', 'pause'],
    },
    bindings: [
      bind('producer', 'producer', ['*']),
      bind('worker', 'worker', ['*']),
      bind('operator', 'operator', ['*']),
      ...guests.map((guest) => bind('worker', guest, ['storm.guest'])),
    ],
  };
}
