import { setTimeout as pause } from 'node:timers/promises';
import { DstcError } from '../../server/domain/errors.ts';
import { type Fence, parseSessionId } from '../../server/domain/ids.ts';
import type { Settlement } from '../../server/engine/report.ts';
import type { Submission } from '../../server/engine/submit.ts';
import { sweepExpiredSessions, sweepOverdueTasks } from '../../server/engine/sweep.ts';
import { isConflict } from '../../server/store/database-error.ts';
import { acceptCurrentLeases, storeCurrentProgress } from '../../server/store/report-tasks.ts';
import { deleteOutlivedTasks } from '../../server/store/retention.ts';
import type { Action, Answer, Before, LeaseRef } from './action.ts';
import {
  attach,
  type Node,
  namespace,
  payloadBytesMax,
  reasonOf,
  reportOf,
  type System,
  windowMs,
  workerInfo,
} from './system.ts';
import { finalCode } from './types.ts';

/** Does an action as production does it. The answer is put into words when all that went on at the same time is over. */
export async function perform(system: System, node: Node, action: Action): Promise<() => Answer> {
  for (;;) {
    try {
      return await performOnce(system, node, action);
    } catch (error) {
      // Of two that wanted each other's rows one is sent away and comes again.
      if (!isConflict(error)) return () => reasonOf(error);
    }
  }
}

async function performOnce(system: System, node: Node, action: Action): Promise<() => Answer> {
  const { sql, tasks, sessions } = system;
  const { engine, database } = node;
  switch (action.kind) {
    case 'submit': {
      const made = await submit(system, node, action);
      if (made.kind === 'existed') return () => `existed ${tasks.name(made.id)}`;
      tasks.add(action.name, made.inserted.id);
      return () => `inserted ${action.name}`;
    }
    case 'claim':
      return claim(system, node, action);
    case 'accept': {
      const { from, fence } = reportOf(system, action.ref);
      const written = await database.run((run) => acceptCurrentLeases(run, [{ ...from, fence, agoMs: 0 }]));
      return () => (written.has(fence.leaseId) ? 'written' : 'stale');
    }
    case 'progress': {
      const { from, fence } = reportOf(system, action.ref);
      const checkpoint = action.checkpoint === undefined ? null : Buffer.of(action.checkpoint);
      const report = { ...from, fence, percent: action.percent, message: '', checkpoint };
      const written = await database.run((run) => storeCurrentProgress(run, [report]));
      return () => (written.has(fence.leaseId) ? 'written' : 'stale');
    }
    case 'succeed': {
      const { from, fence, type } = reportBehind(system, node, action);
      const data = Buffer.alloc(action.tooLarge ? payloadBytesMax + 1 : 1);
      return inWords(await engine.reports.succeed(from, fence, type, { data, contentType: 'text/plain' }));
    }
    case 'fail': {
      const { from, fence } = reportBehind(system, node, action);
      const kinds = { transient: 'TRANSIENT', permanent: 'PERMANENT', fatal: 'FATAL' } as const;
      const { failure } = action;
      const isFinalCode = failure === 'code that is not retried';
      const error = {
        code: isFinalCode ? finalCode : 'BROKEN',
        message: '',
        kind: isFinalCode ? kinds.transient : kinds[failure],
      };
      const retryAfterMs = action.later ? 3_600_000 : undefined;
      return inWords(await engine.reports.end(from, { fence, command: 'fail', error, retryAfterMs }));
    }
    case 'release':
    case 'acknowledge': {
      const { from, fence } = reportBehind(system, node, action);
      const command = action.kind === 'release' ? 'release' : 'acknowledgeCancel';
      return inWords(await engine.reports.end(from, { fence, command }));
    }
    case 'undeliver': {
      const { from, fence } = reportOf(system, action.ref);
      const report = { fence, command: 'undeliver' } as const;
      return inWords(await engine.reports.end({ ...from, actor: 'system:dispatch' }, report));
    }
    case 'order': {
      const { command, redrive } = action;
      const { delayed, withInput } = redrive;
      await engine.control({
        ...{ namespace, id: tasks.id(action.task), type: 'plain', command, actor: 'operator', reason: '' },
        ...{
          graceMs: 3_600_000,
          delayMs: delayed ? 3_600_000 : 0,
          input: command === 'redrive' && withInput ? input : undefined,
        },
      });
      return () => 'done';
    }
    case 'hold up':
    case 'let go': {
      const type = action.type === 'every type' ? '' : action.type;
      const change = { namespace, type, actor: 'operator', reason: '' };
      await (action.kind === 'hold up' ? engine.gates.pause(change) : engine.gates.resume(change));
      return () => 'done';
    }
    case 'set circuit': {
      const { type, mode } = action;
      await engine.gates.setCircuit({ namespace, type, actor: 'operator', reason: '' }, mode);
      return () => 'done';
    }
    case 'let circuit be tried':
      await sql`
        UPDATE task_gate SET probe_time = now() - interval '1 s'
        WHERE type = ${action.type} AND probe_time > now()`;
      return () => 'done';
    case 'let window pass':
      await sql`
        UPDATE task_gate SET buckets = (
          SELECT jsonb_agg(bucket || jsonb_build_object('atMs', (bucket->>'atMs')::float8 - ${windowMs}::float8)
            ORDER BY place)
          FROM jsonb_array_elements(buckets) WITH ORDINALITY AS counted(bucket, place)
        )
        WHERE type = ${action.type} AND buckets <> '[]'`;
      return () => 'done';
    case 'open session': {
      const { sessionId, secret } = await engine.sessions.create(workerInfo(1));
      sessions.add(action.name, sessionId);
      system.secrets.set(action.name, secret);
      return () => 'opened';
    }
    case 'resume session': {
      const right = system.secrets.get(action.session) ?? '';
      const claimed = {
        sessionId: parseSessionId(sessions.id(action.session)),
        secret: action.secretIsRight ? right : 'x',
      };
      await engine.sessions.prove(workerInfo(1), claimed);
      return () => 'resumed';
    }
    case 'reconcile':
      return reconcile(system, node, action);
    case 'let session expire':
      await sql`
        UPDATE worker_session SET expire_time = now() - interval '1 s' WHERE id = ${sessions.id(action.session)}`;
      return () => 'done';
    case 'sweep sessions':
      await sweepExpiredSessions({ database, wake: engine.wake });
      return () => 'done';
    case 'let deadline pass': {
      const column = sql(`${action.deadline}_deadline`);
      await sql`
        UPDATE task SET ${column} = now() - interval '1 s'
        WHERE id = ${tasks.id(action.task)} AND ${column} IS NOT NULL`;
      return () => 'done';
    }
    case 'sweep tasks':
      await sweepOverdueTasks({ database, wake: engine.wake });
      return () => 'done';
    case 'let become due':
      await sql`
        UPDATE task SET available_time = now()
        WHERE id = ${tasks.id(action.task)} AND state = 'PENDING' AND available_time > now()`;
      return () => 'done';
    case 'let age':
      await sql`
        UPDATE task SET finished_time = finished_time - interval '2 hours'
        WHERE id = ${tasks.id(action.task)} AND finished_time > now() - interval '1 hour'`;
      return () => 'done';
    case 'delete outlived':
      await database.transaction((run) => deleteOutlivedTasks(run, 100));
      // In production the history goes later, a day's partition at a time.
      await sql`DELETE FROM task_event WHERE NOT EXISTS (SELECT 1 FROM task WHERE id = task_id)`;
      return () => 'done';
  }
}

const input = { data: Buffer.of(1), contentType: 'text/plain' };

/** Tasks that depend on others go another way. */
async function submit({ tasks }: System, { engine }: Node, action: Extract<Action, { kind: 'submit' }>) {
  const plain = submission(action);
  if (action.dependencies.length === 0) return engine.submit(plain);
  const dependencies = action.dependencies.map(({ on, policy }) => ({ taskId: tasks.id(on), policy }));
  const [made] = await engine.submitLinked([{ ...plain, dependencies }], {
    mayRead: () => true,
    mayReadPayload: () => true,
  });
  if (made === undefined) throw new Error('a request was not answered');
  if (made instanceof DstcError) throw made;
  return made;
}

/** Until all that depends on what has ended has heard of it. */
export async function tellDependents({ nodes, sql }: System): Promise<void> {
  for (;;) {
    const ended = await sql`SELECT FROM task WHERE has_dependents AND finished_time IS NOT NULL LIMIT 1`;
    if (ended.length === 0) return;
    const turns = await Promise.allSettled(nodes.map(({ engine }) => engine.dependents.moveOn()));
    for (const turn of turns) if (turn.status === 'rejected' && !isConflict(turn.reason)) throw turn.reason;
  }
}

function submission({ type, priority, delayed, key }: Extract<Action, { kind: 'submit' }>): Submission {
  return {
    ...{ namespace, type, input, priority, labels: {}, dependencies: [], creator: 'producer' },
    idempotency: key === undefined ? undefined : { key, inputIdentity: input.data },
    delayMs: delayed ? 3_600_000 : 0,
    ...{ availableTime: undefined, retryPolicy: undefined, startMs: undefined, deliveryMs: undefined },
    ...{ heartbeatMs: undefined, runMs: undefined, totalMs: undefined },
  };
}

/** One claim of one session with this much room, through the dispatcher. */
async function claim(system: System, node: Node, action: Extract<Action, { kind: 'claim' }>): Promise<() => Answer> {
  const { dispatch } = node.engine;
  const sessionId = parseSessionId(system.sessions.id(action.session));
  const { session, assigned } = attach(node, sessionId, action.room);
  dispatch.join(session);
  await dispatch.idle();
  dispatch.leave(session);
  for (const { fence, type } of assigned) {
    const name = system.tasks.name(fence.taskId);
    system.fences.set(name, [...(system.fences.get(name) ?? []), { fence, session: action.session, type }]);
  }
  return () =>
    assigned
      .map(({ fence, checkpoint }) => {
        return `${system.tasks.name(fence.taskId)} attempt ${fence.attempt} from ${checkpoint?.[0] ?? null}`;
      })
      .toSorted();
}

/** A report, right behind what the worker says before it. */
function reportBehind(system: System, { engine }: Node, action: { readonly ref: LeaseRef; readonly before: Before }) {
  const { from, fence, type } = reportOf(system, action.ref);
  const { accepts, percent } = action.before;
  if (accepts) engine.accepts.add(from, fence);
  if (percent !== undefined) engine.progress.add(from, fence, { percent, message: '', checkpoint: undefined });
  return { from, fence, type };
}

async function reconcile(
  system: System,
  node: Node,
  action: Extract<Action, { kind: 'reconcile' }>,
): Promise<() => Answer> {
  const sessionId = parseSessionId(system.sessions.id(action.session));
  const { session } = attach(node, sessionId, 10);
  const fences = action.held.map((ref) => reportOf(system, ref).fence);
  const verdicts = await node.engine.sessions.reconcile(session, fences);
  const kept = verdicts.filter(({ verdict }) => verdict === 'keep').map(({ fence }) => fence.leaseId);
  await untilReconciled(system, sessionId, kept);
  return () => action.held.map(({ task }, index) => `${task} ${verdicts[index]?.verdict}`);
}

/** What it gives back and what it accepts is written a moment later. */
async function untilReconciled({ sql }: System, sessionId: string, kept: readonly Fence['leaseId'][]): Promise<void> {
  for (;;) {
    const open = await sql`
      SELECT FROM task WHERE session_id = ${sessionId} AND state = 'RUNNING'
        AND (started_time IS NULL OR NOT lease_id = ANY(${sql.array([...kept])}::uuid[]))`;
    if (open.length === 0) return;
    await pause(5);
  }
}

function inWords(settlement: Settlement): () => Answer {
  return () => (settlement.outcome === 'recorded' ? `recorded ${settlement.state}` : settlement.outcome);
}
