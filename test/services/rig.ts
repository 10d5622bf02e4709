import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import postgres from 'postgres';
import { startTestCoordinator, type TestCoordinator } from '../setup/coordinator.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { type Caller, grpcCaller, jsonCaller } from './caller.ts';

/** Both ways in; every test of a service goes through each of them. */
export const doorNames = ['gRPC', 'HTTP/JSON'] as const;
export type DoorName = (typeof doorNames)[number];

/** A client id of the policy file that a rig is started with. */
export type Who = 'root' | 'alice' | 'planner' | 'clerk' | 'mender' | 'stopper' | 'blind' | 'keeper' | 'stranger';

/**
 * root may do everything, alice everything below `a.`; planner submits and sees `a.*` without payloads, clerk only sees
 * it, mender redrives it, stopper steers it and sees only `a.seen`, blind steers it and sees nothing; keeper configures and
 * reads everything and operates nothing; the stranger is another tenant.
 */
const policy = `
roles:
  all: [submit, work, read, read_payload, cancel, redrive, pause, configure, approve, operate]
  planner: [submit, read]
  clerk: [read]
  mender: [read, redrive]
  stopper: [cancel, pause, redrive]
  keeper: [configure, read]
bindings:
  - { role: all, claims: { client_id: root }, namespaces: ['*'], task_types: ['*'] }
  - { role: all, claims: { client_id: alice }, namespaces: [default], task_types: ['a.*'] }
  - { role: planner, claims: { client_id: planner }, namespaces: [default], task_types: ['a.*'] }
  - { role: clerk, claims: { client_id: clerk }, namespaces: [default], task_types: ['a.*'] }
  - { role: mender, claims: { client_id: mender }, namespaces: [default], task_types: ['a.*'] }
  - { role: stopper, claims: { client_id: stopper }, namespaces: [default], task_types: ['a.*'] }
  - { role: stopper, claims: { client_id: blind }, namespaces: [default], task_types: ['a.*'] }
  - { role: clerk, claims: { client_id: stopper }, namespaces: [default], task_types: [a.seen] }
  - { role: keeper, claims: { client_id: keeper }, namespaces: [default], task_types: ['*'] }
  - { role: all, claims: { client_id: stranger }, namespaces: [elsewhere], task_types: ['*'] }
`;

export interface Rig {
  readonly coordinator: TestCoordinator;
  readonly doors: Readonly<Record<DoorName, Caller>>;
  readonly token: (who: Who) => string;
  readonly sql: postgres.Sql;
  /** Rows of every table that a call could leave something in. */
  readonly rowCounts: () => Promise<Readonly<Record<string, number>>>;
  readonly stop: () => Promise<void>;
}

export async function startRig(settings: Record<string, string> = {}): Promise<Rig> {
  const directory = await temporaryDirectory();
  const policyFile = join(directory, 'policy.yaml');
  await writeFile(policyFile, policy);
  const coordinator = await startTestCoordinator({ DSTC_POLICY_FILE: policyFile, ...settings });
  const tokens = new Map<Who, string>();
  for (const who of [
    'root',
    'alice',
    'planner',
    'clerk',
    'mender',
    'stopper',
    'blind',
    'keeper',
    'stranger',
  ] as const) {
    tokens.set(who, await coordinator.identity.forge({ sub: who, client_id: who }));
  }
  const doors = { gRPC: grpcCaller(coordinator.grpcAddress), 'HTTP/JSON': jsonCaller(coordinator.httpUrl) };
  const sql = postgres(coordinator.databaseUrl, { max: 1 });
  return {
    coordinator,
    doors,
    token: (who) => tokens.get(who) ?? '',
    sql,
    async rowCounts() {
      const [counts] = await sql`
        SELECT (SELECT count(*)::int FROM task) AS task, (SELECT count(*)::int FROM task_event) AS task_event,
          (SELECT count(*)::int FROM idempotency_key) AS idempotency_key, (SELECT count(*)::int FROM task_type) AS task_type,
          (SELECT count(*)::int FROM worker_session) AS worker_session,
          (SELECT count(*)::int FROM task_dependency) AS task_dependency, (SELECT count(*)::int FROM task_gate) AS task_gate,
          (SELECT count(*)::int FROM webhook) AS webhook`;
      return { ...counts };
    },
    async stop() {
      for (const door of Object.values(doors)) door.close();
      await sql.end();
      await coordinator.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
