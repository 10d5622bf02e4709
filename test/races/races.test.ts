import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { parseSessionId } from '../../server/domain/ids.ts';
import { leaseOnce } from '../../server/doors/worker/lease-once.ts';
import type { Action, Answer } from '../model/action.ts';
import { perform } from '../model/perform.ts';
import { type Node, type System, startSystem, workerInfo } from '../model/system.ts';
import { viewOfDatabase } from '../model/view.ts';
import { checkHistory } from '../setup/check-history.ts';
import { does, type Outcome, overlap } from './race.ts';

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system.close());
beforeEach(() => system.clear());

interface Race {
  readonly title: string;
  readonly given: readonly Action[];
  readonly first: Action;
  readonly second: Action;
  readonly meeting: Outcome['meeting'];
  readonly answers: readonly [Answer, Answer];
  /** What comes again by itself in production, to have passed by nothing for ever. */
  readonly again?: Action;
  /** The whole history of each task afterwards. */
  readonly events: readonly string[];
}

const leased = [does.open, does.submit, does.claim];
const lost = [...leased, does.expire];
const dead = [...leased, does.failForGood, does.age];

const races: readonly Race[] = [
  {
    title: 'a cancel right before a success only asked for what came too late: the work is kept',
    given: leased,
    ...{ first: does.cancel, second: does.succeed, meeting: 'waits' },
    answers: ['done', 'recorded SUCCEEDED'],
    events: ['submitted leased cancel_requested started succeeded'],
  },
  {
    title: 'a cancel right after a success is told that it came too late',
    given: leased,
    ...{ first: does.succeed, second: does.cancel, meeting: 'waits' },
    answers: ['recorded SUCCEEDED', 'STATE_CONFLICT'],
    events: ['submitted leased started succeeded'],
  },
  {
    title: 'a cancel right before a failure ends the task, and nobody tries again',
    given: leased,
    ...{ first: does.cancel, second: does.fail, meeting: 'waits' },
    answers: ['done', 'recorded CANCELLED'],
    events: ['submitted leased cancel_requested started cancelled'],
  },
  {
    title: 'a cancel right after a failure takes the retry away',
    given: leased,
    ...{ first: does.fail, second: does.cancel, meeting: 'waits' },
    answers: ['recorded PENDING', 'done'],
    events: ['submitted leased started retry_scheduled cancelled'],
  },
  {
    title: 'a worker that resumes right before the sweep keeps its lease',
    given: lost,
    ...{ first: does.resume, second: does.sweepSessions, meeting: 'passes by', again: does.sweepSessions },
    answers: ['resumed', 'done'],
    events: ['submitted leased'],
  },
  {
    title: 'a worker that resumes right after the sweep is told to begin anew',
    given: lost,
    ...{ first: does.sweepSessions, second: does.resume, meeting: 'waits' },
    answers: ['done', 'SESSION_NOT_FOUND'],
    events: ['submitted leased lease_lost'],
  },
  {
    title: 'a result right before the sweep of its session is kept',
    given: lost,
    ...{ first: does.succeed, second: does.sweepSessions, meeting: 'passes by', again: does.sweepSessions },
    answers: ['recorded SUCCEEDED', 'done'],
    events: ['submitted leased started succeeded'],
  },
  {
    title: 'a result right after the sweep of its session is refused',
    given: lost,
    ...{ first: does.sweepSessions, second: does.succeed, meeting: 'waits' },
    answers: ['done', 'lease lost'],
    events: ['submitted leased lease_lost'],
  },
  {
    title: 'a redrive right before the end of the retention saves the task',
    given: dead,
    ...{ first: does.redrive, second: does.deleteOutlived, meeting: 'passes by', again: does.deleteOutlived },
    answers: ['done', 'done'],
    events: ['submitted leased started failed redriven'],
  },
  {
    title: 'a redrive right after the end of the retention finds nothing and revives nothing',
    given: dead,
    ...{ first: does.deleteOutlived, second: does.redrive, meeting: 'waits' },
    answers: ['done', 'done'],
    events: [],
  },
  {
    title: 'a cancel right before a claim leaves it nothing',
    given: [does.open, does.submit],
    ...{ first: does.cancel, second: does.claim, meeting: 'passes by', again: does.claim },
    answers: ['done', []],
    events: ['submitted cancelled'],
  },
  {
    title: 'a cancel right after a claim asks the worker to stop',
    given: [does.open, does.submit],
    ...{ first: does.claim, second: does.cancel, meeting: 'waits' },
    answers: [['task attempt 1 from null'], 'done'],
    events: ['submitted leased cancel_requested'],
  },
  {
    title: 'a pause right before a claim leaves it nothing',
    given: [does.open, does.submit],
    ...{ first: does.pause, second: does.claim, meeting: 'passes by', again: does.claim },
    answers: ['done', []],
    events: ['submitted paused'],
  },
  {
    title: 'a pause right after a claim lets this attempt go on',
    given: [does.open, does.submit],
    ...{ first: does.claim, second: does.pause, meeting: 'waits' },
    answers: [['task attempt 1 from null'], 'done'],
    events: ['submitted leased paused'],
  },
  {
    title: 'a pause of the type that is not yet committed lets a claim through, and the next one not',
    given: [does.open, does.submit],
    ...{ first: does.holdUp, second: does.claim, meeting: 'passes by' },
    answers: ['done', ['task attempt 1 from null']],
    events: ['submitted leased'],
  },
  {
    title: 'of two reports of one lease the first counts: success before failure',
    given: leased,
    ...{ first: does.succeed, second: does.fail, meeting: 'waits' },
    answers: ['recorded SUCCEEDED', 'already recorded'],
    events: ['submitted leased started succeeded'],
  },
  {
    title: 'of two reports of one lease the first counts: failure before success',
    given: leased,
    ...{ first: does.fail, second: does.succeed, meeting: 'waits' },
    answers: ['recorded PENDING', 'already recorded'],
    events: ['submitted leased started retry_scheduled'],
  },
  {
    title: 'the same success twice, on two nodes, is recorded once',
    given: leased,
    ...{ first: does.succeed, second: does.succeed, meeting: 'waits' },
    answers: ['recorded SUCCEEDED', 'already recorded'],
    events: ['submitted leased started succeeded'],
  },
  {
    title: 'a result right before its deadline is enforced is kept',
    given: [...leased, does.outrun],
    ...{ first: does.succeed, second: does.sweepTasks, meeting: 'passes by', again: does.sweepTasks },
    answers: ['recorded SUCCEEDED', 'done'],
    events: ['submitted leased started succeeded'],
  },
  {
    title: 'a result right after its deadline was enforced is refused',
    given: [...leased, does.outrun],
    ...{ first: does.sweepTasks, second: does.succeed, meeting: 'waits' },
    answers: ['done', 'lease lost'],
    events: ['submitted leased lease_lost'],
  },
  {
    title: 'two nodes that claim at the same time never get the same task',
    given: [does.open, does.openOther, does.submit],
    ...{ first: does.claim, second: does.claimAsOther, meeting: 'passes by', again: does.claimAsOther },
    answers: [['task attempt 1 from null'], []],
    events: ['submitted leased'],
  },
  {
    title: 'two nodes that claim at the same time keep to a limit of two',
    given: [does.open, does.openOther, does.submitNarrow, does.claim, does.submitNarrow2, does.submitNarrow3],
    ...{ first: does.claim, second: does.claimAsOther, meeting: 'passes by', again: does.claimAsOther },
    answers: [['second attempt 1 from null'], []],
    events: ['submitted leased', 'submitted leased', 'submitted'],
  },
  {
    title: 'a claim for a session that is being swept gets nothing',
    given: [does.open, does.submit, does.expire],
    ...{ first: does.sweepSessions, second: does.claim, meeting: 'passes by' },
    answers: ['done', []],
    events: ['submitted'],
  },
  {
    title: 'what is claimed for a session that expires meanwhile is taken back by the next sweep',
    given: [does.open, does.submit],
    ...{ first: does.claim, second: does.expire, meeting: 'passes by', again: does.sweepSessions },
    answers: [['task attempt 1 from null'], 'done'],
    events: ['submitted leased lease_lost'],
  },
  {
    title: 'one key given twice at the same time makes one task',
    given: [],
    ...{ first: does.submitWithKey, second: does.submitAgain, meeting: 'waits' },
    answers: ['inserted task', 'existed task'],
    events: ['submitted'],
  },
];

test.each(races)('$title', async ({ given, first, second, meeting, answers, again, events }) => {
  const [node] = system.nodes as readonly [Node];
  for (const action of given) await perform(system, node, action);
  expect(await overlap(system, first, second)).toEqual({ meeting, answers });
  if (again !== undefined) await perform(system, node, again);
  const { tasks } = await viewOfDatabase(system.sql, system.names);
  const names = Object.keys(tasks).toSorted();
  expect(names.map((name) => tasks[name]?.events.join(' '))).toEqual(events);
  if (names.length > 0) await checkHistory(system.sql, names.map(system.tasks.id), { allEnded: false });
});

test('two reports of one lease in one batch: one that is not allowed does not hide the one behind it', async () => {
  const [node] = system.nodes as readonly [Node];
  for (const action of leased) await perform(system, node, action);
  const done = await Promise.all([does.acknowledge, does.fail].map((action) => perform(system, node, action)));
  expect(done.map((answer) => answer())).toEqual(['not allowed', 'recorded PENDING']);
});

test('what a call was about to get when it went away is not given to a smaller call of its session', async () => {
  const [node] = system.nodes as readonly [Node, Node];
  await perform(system, node, does.open);
  for (const name of ['one', 'two', 'three']) await perform(system, node, { ...does.submit, name });
  const sessionId = parseSessionId(system.sessions.id('session'));
  const gone = new AbortController();
  const hold = node.database.hold();
  const first = leaseOnce(node, sessionId, workerInfo(3), { waitMs: 60_000, signal: gone.signal });
  await hold.reached;
  gone.abort();
  expect((await first).tasks).toEqual([]);
  const still = new AbortController();
  const second = leaseOnce(node, sessionId, workerInfo(1), { waitMs: 60_000, signal: still.signal });
  hold.release();
  expect((await second).tasks).toHaveLength(1);
  const left = async () => (await system.sql`SELECT count(*)::int FROM task WHERE state = 'PENDING'`)[0]?.count;
  await expect.poll(left).toBe(2);
});
