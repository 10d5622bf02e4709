import { cp, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const bugNames = ['no-fence', 'no-sweep', 'early-acknowledgement'] as const;
export type BugName = (typeof bugNames)[number];

interface Bug {
  readonly file: string;
  readonly before: string;
  readonly after: string;
}

/** Mistakes that are easily made, each a replacement in one file of the coordinator. */
const bugs: Readonly<Record<BugName, Bug>> = {
  'no-fence': {
    file: 'store/report-tasks.ts',
    before: `FROM item JOIN task ON task.id = item.id AND task.attempt = item.attempt AND task.lease_id = item.lease_id
        AND task.session_id = item.session_id AND task.state::text = 'RUNNING'`,
    after: `FROM item JOIN task ON task.id = item.id AND task.state::text = 'RUNNING'`,
  },
  'no-sweep': {
    file: 'engine/ticker.ts',
    before: 'if (found.hasExpiredSessions && outage.isOver())',
    after: 'if (false)',
  },
  'early-acknowledgement': {
    file: 'engine/submit.ts',
    before: 'await deps.database.run((sql) => insertTasks(sql, tasks))',
    after: `await new Promise<InsertedTask[]>((resolve, reject) => {
      deps.database.transaction(async (sql) => {
        resolve(await insertTasks(sql, tasks));
        await new Promise((done) => setTimeout(done, 50));
      }).catch(reject);
    })`,
  },
};

const repository = fileURLToPath(new URL('../..', import.meta.url));

/** Copies the coordinator into a directory, with a mistake in it; resolves with its program. */
export async function plantBug(directory: string, name: BugName): Promise<string> {
  const copy = join(directory, 'server');
  await cp(join(repository, 'server'), copy, { recursive: true });
  await symlink(join(repository, 'node_modules'), join(directory, 'node_modules'));
  const { file, before, after } = bugs[name];
  const text = await readFile(join(copy, file), 'utf8');
  const parts = text.split(before);
  if (parts.length !== 2) throw new Error(`${file} has the place of ${name} ${parts.length - 1} times, not once`);
  await writeFile(join(copy, file), parts.join(after));
  return join(copy, 'main.ts');
}
