import type { Fence } from '../domain/ids.ts';
import type { Command } from '../domain/lifecycle.ts';
import { limits } from '../domain/limits.ts';
import type { Payload } from '../domain/payload.ts';
import type { TaskState } from '../domain/task-state.ts';
import type { Database, Sql } from '../store/database.ts';
import { type LockedTask, lockCurrentLeases } from '../store/lock-tasks.ts';
import {
  acceptCurrentLeases,
  type ProgressReport,
  type ReportedTask,
  type Reporter,
  type Success,
  selectReportedTasks,
  storeCurrentProgress,
  succeedCurrentLeases,
  type VainReport,
} from '../store/report-tasks.ts';
import type { StoredError } from '../store/schema.ts';
import { type Accepts, acceptanceOf, agoMsOf } from './accept.ts';
import { type Applied, announceMoves, announceRoom, applyMoves } from './apply-moves.ts';
import type { Circuits } from './circuits.ts';
import { createGroupCommit } from './group-commit.ts';
import type { Reporting } from './live-session.ts';
import type { ProgressReports } from './progress.ts';
import type { Tally } from './tally.ts';
import type { TaskTypes } from './task-types.ts';
import type { Wake } from './wake.ts';

/** What became of a report. */
export type Settlement =
  | { readonly outcome: 'recorded'; readonly state: TaskState }
  | { readonly outcome: 'already recorded' }
  | { readonly outcome: 'lease lost' }
  /** The lease is current, and the task's state does not allow it: a cancel that nobody asked for. */
  | { readonly outcome: 'not allowed' }
  | { readonly outcome: 'task not found' };

/** A report other than a success. */
export interface EndReport {
  readonly fence: Fence;
  readonly command: Extract<Command, 'fail' | 'release' | 'undeliver' | 'acknowledgeCancel'>;
  readonly error?: StoredError;
  readonly retryAfterMs?: number | undefined;
  readonly reason?: string;
  /** False when it is not its worker that says so, which then may never have begun; left out, only an undelivered one is not. */
  readonly byWorker?: boolean;
}

export interface Reports {
  /** Records a result; one that breaks the type's output schema or the payload limit fails the task. */
  readonly succeed: (from: Reporting, fence: Fence, type: string | undefined, output: Payload) => Promise<Settlement>;
  /** Records any other end of a lease. */
  readonly end: (from: Reporting, report: EndReport) => Promise<Settlement>;
  /** Those of the leases, by id, that a report has ended before. */
  readonly settledAmong: (from: Reporting, fences: readonly Fence[]) => Promise<ReadonlySet<string>>;
}

export interface ReportDeps {
  readonly database: Database;
  readonly types: TaskTypes;
  readonly accepts: Accepts;
  readonly progress: ProgressReports;
  readonly circuits: Circuits;
  readonly wake: Wake;
  readonly tally: Tally;
  readonly payloadBytesMax: number;
}

type Ending = Reporter & Omit<EndReport, 'fence'> & { readonly byWorker: boolean };
/** What the statement did: the state after the move, none when it was not allowed; undefined for a stale fence. */
type Written = { readonly state: TaskState | undefined } | undefined;

export function createReports(deps: ReportDeps): Reports {
  const successes = createGroupCommit<Success, boolean>({
    flush: (reports) => writeSuccesses(deps, reports),
    itemsMax: limits.groupCommitItemsMax,
    bytesMax: limits.groupCommitBytesMax,
    bytesOf: (report) => report.output.byteLength,
    concurrency: 2,
    queueMax: limits.groupCommitQueueMax,
  });
  const endings = createGroupCommit<Ending, Written>({
    flush: (reports) => writeEndings(deps, reports),
    itemsMax: limits.groupCommitItemsMax,
    bytesMax: limits.groupCommitBytesMax,
    bytesOf: () => 256,
    concurrency: 2,
    queueMax: limits.groupCommitQueueMax,
  });

  const explanations = createGroupCommit<VainReport, ReportedTask | undefined>({
    flush: async (items) => {
      const found = await deps.database.run((sql) => selectReportedTasks(sql, items));
      const byItem = new Map(found.map((task) => [task.index, task]));
      return items.map((_, index) => byItem.get(index));
    },
    itemsMax: limits.groupCommitItemsMax,
    bytesMax: limits.groupCommitBytesMax,
    bytesOf: () => 64,
    concurrency: 1,
    queueMax: limits.groupCommitQueueMax,
  });

  async function end(from: Reporting, report: EndReport): Promise<Settlement> {
    const { command, byWorker = command !== 'undeliver' } = report;
    const written = await endings.add({ ...report, byWorker, sessionId: from.sessionId, actor: from.actor });
    if (written === undefined) return explain(from, report.fence);
    return written.state === undefined ? { outcome: 'not allowed' } : { outcome: 'recorded', state: written.state };
  }

  /** Why a report changed nothing. */
  async function explain(from: Reporting, fence: Fence): Promise<Settlement> {
    const task = await explanations.add({ namespace: from.namespace, sessionId: from.sessionId, fence });
    if (task === undefined || !from.may(task.type)) return { outcome: 'task not found' };
    if (task.settled) return { outcome: 'already recorded' };
    deps.tally.add('reportsStale');
    return { outcome: 'lease lost' };
  }

  return {
    async succeed(from, fence, type, output) {
      const wrong = await outputError(deps, from.namespace, type, output);
      if (wrong !== undefined) return end(from, { fence, command: 'fail', error: wrong });
      const accept = deps.accepts.take({ fence, sessionId: from.sessionId });
      const success = {
        fence,
        sessionId: from.sessionId,
        actor: from.actor,
        output: output.data,
        outputContentType: output.contentType,
        acceptedAgoMs: agoMsOf(accept),
      };
      const recorded = await successes.add(success).catch((error: unknown) => {
        if (accept !== undefined) deps.accepts.restore(accept);
        throw error;
      });
      if (!recorded) return explain(from, fence);
      const { namespace } = from;
      if (type !== undefined) {
        deps.wake.attemptEnded.give({ namespace, type, taskId: fence.taskId, verdict: 'passed' });
      }
      return { outcome: 'recorded', state: 'SUCCEEDED' };
    },
    end,
    async settledAmong(from, fences) {
      const items = fences.map((fence) => ({ namespace: from.namespace, sessionId: from.sessionId, fence }));
      const tasks = await deps.database.run((sql) => selectReportedTasks(sql, items));
      return new Set(tasks.filter((task) => task.settled).map((task) => task.leaseId));
    },
  };
}

/** What is wrong with a result, as the error that the task then fails with. */
async function outputError(
  deps: ReportDeps,
  namespace: string,
  type: string | undefined,
  output: Payload,
): Promise<StoredError | undefined> {
  if (output.data.byteLength > deps.payloadBytesMax) {
    const message = `the output has ${output.data.byteLength} bytes, more than the ${deps.payloadBytesMax} allowed`;
    return { code: 'OUTPUT_INVALID', message, kind: 'PERMANENT' };
  }
  // A report without a type is on a lease that is not held here: the fence will refuse it.
  if (type === undefined) return undefined;
  const { checkOutput } = await deps.types.get(namespace, type);
  const [violation] = (await checkOutput?.(output)) ?? [];
  if (violation === undefined) return undefined;
  const message = `the output does not match the schema: ${violation.field} ${violation.description}`;
  return { code: 'OUTPUT_INVALID', message, kind: 'PERMANENT' };
}

async function writeSuccesses(deps: ReportDeps, reports: readonly Success[]): Promise<readonly boolean[]> {
  const firsts = firstOfEach(reports);
  const successes = [...firsts.values()];
  const progress = pendingProgress(deps, successes);
  const writing =
    progress.length === 0
      ? deps.database.run((sql) => succeedCurrentLeases(sql, successes))
      : deps.database.shortTransaction(async (sql, { first, last }) => {
          // All of them at once: the order of locks holds only within a statement, and not all have progress.
          await first(() => lockCurrentLeases(sql, successes));
          await storeCurrentProgress(sql, progress);
          return last(() => succeedCurrentLeases(sql, successes));
        });
  const recorded = await writing.catch((error: unknown) => {
    for (const report of progress) deps.progress.restore(report);
    throw error;
  });
  const keys = new Set(recorded.map(keyOf));
  const results = reports.map((report) => keys.has(keyOf(report)) && firsts.get(keyOf(report)) === report);
  const ended = reports.filter((_, index) => results[index]).map((report) => report.fence.taskId);
  if (recorded.length > 0) deps.wake.eventsWritten.give(undefined);
  deps.wake.tasksChanged.give({ ids: ended, ended: true });
  if (recorded.some((success) => success.hasDependents)) deps.wake.dependencyEnded.give(undefined);
  announceRoom(
    deps.wake,
    recorded.flatMap(({ countedOf }) => countedOf ?? []),
  );
  return results;
}

async function writeEndings(deps: ReportDeps, reports: readonly Ending[]): Promise<readonly Written[]> {
  const byLease = Map.groupBy(reports, keyOf);
  const firsts = [...byLease.values()].flatMap(([first]) => first ?? []);
  const accepts = firsts.flatMap((report) => (report.command === 'undeliver' ? [] : (deps.accepts.take(report) ?? [])));
  const progress = pendingProgress(deps, firsts);
  const writing = deps.database.shortTransaction(async (sql, { first }) => {
    // All of them at once: the order of locks holds only within a statement, and not all have an accept or progress.
    let locked = await first(() => lockCurrentLeases(sql, firsts));
    if (accepts.length > 0) await acceptCurrentLeases(sql, accepts.map(acceptanceOf));
    if (progress.length > 0) await storeCurrentProgress(sql, progress);
    // An accept changes what the moves build on.
    if (accepts.length > 0) locked = await lockCurrentLeases(sql, firsts);
    const ended = await endInTurn(sql, locked, byLease);
    return { ended, changes: await deps.circuits.openByFatal(sql, [...ended.values()]) };
  });
  const { ended, changes } = await writing.catch((error: unknown) => {
    for (const accept of accepts) deps.accepts.restore(accept);
    for (const report of progress) deps.progress.restore(report);
    throw error;
  });
  announceMoves(deps.wake, [...ended.values()]);
  deps.circuits.announce(changes);
  return reports.map((report) => {
    const applied = ended.get(report);
    return applied && { state: applied.move?.to };
  });
}

/**
 * Of several reports of one lease the first counts that the task's state allows: an acknowledgement of a cancel that
 * nobody asked for must not hide the failure behind it. What comes after the one that counts is missing in the answer.
 */
async function endInTurn(
  sql: Sql,
  locked: readonly LockedTask[],
  byLease: ReadonlyMap<string, readonly Ending[]>,
): Promise<Map<Ending, Applied>> {
  const ended = new Map<Ending, Applied>();
  let open = locked;
  for (let place = 0; open.length > 0; place += 1) {
    const turn = open.flatMap((task) => {
      const report = byLease.get(keyOfTask(task))?.[place];
      return report === undefined ? [] : [{ report, task }];
    });
    const applied = await applyMoves(
      sql,
      turn.map(({ report, task }) => ({ ...report, task })),
    );
    applied.forEach((result, index) => {
      const report = turn[index]?.report;
      if (report !== undefined) ended.set(report, result);
    });
    open = applied.filter(({ move }) => move === undefined).map(({ task }) => task);
  }
  return ended;
}

/** What workers had said of the leases before they ended them, and nobody has written yet. */
function pendingProgress(deps: ReportDeps, reports: readonly Reporter[]): readonly ProgressReport[] {
  return reports.flatMap((report) => deps.progress.take(report) ?? []);
}

/** One statement writes one report of a lease; what else it brings for the same one finds that recorded. */
function firstOfEach<Report extends Reporter>(reports: readonly Report[]): Map<string, Report> {
  const first = new Map<string, Report>();
  for (const report of reports) if (!first.has(keyOf(report))) first.set(keyOf(report), report);
  return first;
}

/** All that makes a report current: a lease id alone may have been heard of by others. */
function keyOf({ fence, sessionId }: Pick<Reporter, 'fence' | 'sessionId'>): string {
  return `${fence.taskId}/${fence.attempt}/${fence.leaseId}/${sessionId}`;
}

function keyOfTask(task: LockedTask): string {
  return `${task.id}/${task.attempt}/${task.leaseId}/${task.sessionId}`;
}
