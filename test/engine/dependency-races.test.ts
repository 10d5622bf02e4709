import { afterAll, beforeAll, expect, test } from 'vitest';
import { limits } from '../../server/domain/limits.ts';
import { deleteOutlivedTasks } from '../../server/store/retention.ts';
import { selectTick } from '../../server/store/tick.ts';
import { type DependencyRig, onTasks, rights, startDependencyRig, submission } from './dependency-rig.ts';

let rig: DependencyRig;
beforeAll(async () => {
  rig = await startDependencyRig();
});
afterAll(() => rig.stop());

async function moveOn(): Promise<void> {
  await Promise.all(rig.engines.map(({ dependents }) => dependents.moveOn()));
}

/** A task that ended longer ago than its type keeps it. */
async function submitOutlived(): Promise<string> {
  const id = await rig.submit();
  await rig.order('skip', id);
  await rig.sql`UPDATE task SET finished_time = finished_time - interval '31 days' WHERE id = ${id}`;
  return id;
}

async function isLeftToDo(): Promise<boolean> {
  return (await rig.database.run((sql) => selectTick(sql, [], []))).hasEndedDependencies;
}

test('a task that is submitted while what it depends on ends waits for the end, and is not blocked by it', async () => {
  const first = await rig.submit();
  let submitted: Promise<string> | undefined;
  await rig.sql.begin(async (ending) => {
    await ending`UPDATE task SET state = 'SKIPPED', finished_time = now() WHERE id = ${first}`;
    submitted = rig.submit(onTasks([first]));
    await rig.waitsForLocks(1);
  });
  const second = (await submitted) ?? '';
  expect(await rig.states([second])).toEqual(['PENDING']);
  expect(await rig.kinds(second)).toEqual(['submitted']);
});

test('an end that comes while a dependent is submitted waits for it, and moves it on', async () => {
  const first = await rig.submit();
  let second: Promise<unknown> | undefined;
  let end: Promise<void> | undefined;
  const key = 'held';
  await rig.sql
    .begin(async (holder) => {
      // The submission has locked what it depends on when it comes to this key.
      await holder`
        INSERT INTO idempotency_key (namespace, key, task_id, request_hash) VALUES ('default', ${key}, ${first}, '')`;
      second = rig.engines[0].submitLinked([submission(onTasks([first]), key)], rights);
      await rig.waitsForLocks(1);
      end = rig.order('skip', first, rig.engines[1]);
      await rig.waitsForLocks(2);
      throw new Error('the key is free again');
    })
    .catch(() => undefined);
  expect(await second).toMatchObject([{ kind: 'inserted', state: 'BLOCKED' }]);
  await end;
  await moveOn();
  const [{ id } = { id: '' }] = await rig.sql<{ id: string }[]>`SELECT id FROM task WHERE idempotency_key = ${key}`;
  expect(await rig.states([id])).toEqual(['PENDING']);
});

test('what a task depends on stays although it was found outlived right before the task was submitted', async () => {
  const first = await submitOutlived();
  // What looks for outlived tasks stands still once it has begun to look: it sees what was there then, and no more.
  await rig.sql`CREATE SCHEMA stalled`;
  await rig.sql`
    CREATE FUNCTION stalled.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN
      PERFORM pg_advisory_xact_lock_shared(1);
      RETURN pg_catalog.now();
    END $$`;
  let deleting: Promise<number> | undefined;
  let dependent = '';
  await rig.sql.begin(async (holder) => {
    await holder`SELECT pg_advisory_xact_lock(1)`;
    deleting = rig.sql.begin(async (sql) => {
      await sql`SET LOCAL search_path = stalled, pg_catalog, public`;
      return deleteOutlivedTasks(sql, 10);
    });
    for (let stalled = 0; stalled === 0; ) {
      const rows = await rig.sql`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`;
      stalled = rows.length;
    }
    dependent = await rig.submit(onTasks([first]));
  });
  expect(await deleting).toBe(0);
  expect(await rig.states([first, dependent])).toEqual(['SKIPPED', 'PENDING']);
});

test('nothing can depend any more on what is being deleted', async () => {
  const first = await submitOutlived();
  let submitted: Promise<unknown> | undefined;
  await rig.sql.begin(async (deleting) => {
    expect(await deleteOutlivedTasks(deleting, 10)).toBe(1);
    submitted = rig.engines[0].submitLinked([submission(onTasks([first]))], rights);
    await rig.waitsForLocks(1);
  });
  expect(await submitted).toMatchObject([{ reason: 'FIELD_INVALID' }]);
});

test('what is about to be depended on is passed over by the deletion', async () => {
  const [first, other] = [await submitOutlived(), await submitOutlived()];
  const key = 'slow';
  let submitted: Promise<unknown> | undefined;
  let deleted: number | undefined;
  await rig.sql
    .begin(async (holder) => {
      // The submission has locked what it depends on when it comes to this key.
      await holder`
        INSERT INTO idempotency_key (namespace, key, task_id, request_hash) VALUES ('default', ${key}, ${first}, '')`;
      submitted = rig.engines[0].submitLinked([submission(onTasks([first]), key)], rights);
      await rig.waitsForLocks(1);
      deleted = await rig.database.transaction((sql) => deleteOutlivedTasks(sql, 10));
      throw new Error('the key is free again');
    })
    .catch(() => undefined);
  expect(deleted).toBe(1);
  expect(await submitted).toMatchObject([{ kind: 'inserted', state: 'PENDING' }]);
  expect(await rig.states([first, other])).toEqual(['SKIPPED', 'gone']);
});

test('of two ends at once on two nodes, each of which waits for the dependent, the second one frees it', async () => {
  const [one, two] = [await rig.submit(), await rig.submit()];
  const dependent = await rig.submit(onTasks([one, two]));
  const moved: Promise<void>[] = [];
  await rig.sql.begin(async (holder) => {
    await holder`SELECT FROM task WHERE id = ${dependent} FOR UPDATE`;
    await rig.endUnheard('skip', [one]);
    moved.push(rig.engines[0].dependents.moveOn());
    await rig.waitsForLocks(1);
    await rig.endUnheard('skip', [two]);
    moved.push(rig.engines[1].dependents.moveOn());
    await rig.waitsForLocks(2);
  });
  await Promise.all(moved);
  expect(await rig.kinds(dependent)).toEqual(['submitted', 'unblocked']);
  expect(await isLeftToDo()).toBe(false);
});

test('a redrive between an end and what follows from it leaves nothing behind', async () => {
  const first = await rig.submit();
  const dependent = await rig.submit(onTasks([first], 'block'));
  // It fails by its deadline on a node that is killed, and is mended before anybody has told.
  await rig.sql`UPDATE task SET state = 'FAILED', finished_time = now() WHERE id = ${first}`;
  const { control, dependents } = rig.engines[0];
  await control({ namespace: 'default', id: first, type: 'work', command: 'redrive', actor: 'operator', reason: '' });
  await dependents.moveOn();
  expect(await rig.states([first, dependent])).toEqual(['PENDING', 'BLOCKED']);
  await rig.order('skip', first);
  await dependents.moveOn();
  expect(await rig.states([dependent])).toEqual(['PENDING']);
});

test('a failed task that is redriven while its last dependency ends is blocked no longer than that', async () => {
  const first = await rig.submit();
  const dependent = await rig.submit(onTasks([first]));
  await rig.sql`UPDATE task SET state = 'FAILED', finished_time = now() WHERE id = ${dependent}`;
  let redriven: Promise<void> | undefined;
  let moved: Promise<void> | undefined;
  await rig.sql.begin(async (holder) => {
    await holder`SELECT FROM task WHERE id = ${dependent} FOR UPDATE`;
    const { control } = rig.engines[0];
    const request = { namespace: 'default', id: dependent, type: 'work', actor: 'operator', reason: '' };
    redriven = control({ ...request, command: 'redrive' });
    await rig.waitsForLocks(1);
    await rig.endUnheard('skip', [first]);
    moved = rig.engines[1].dependents.moveOn();
    await rig.waitsForLocks(2);
  });
  await Promise.all([redriven, moved]);
  expect(await rig.states([dependent])).toEqual(['PENDING']);
});

test('submissions by many and ends at the same time on two nodes leave nothing blocked', async () => {
  for (let round = 0; round < 10; round += 1) {
    const firsts = await rig.submitAll(Array.from({ length: 10 }, () => []));
    const dependents = firsts.flatMap((id, index) =>
      [0, 1, 2].map((more) => rig.submit(onTasks([id, firsts[(index + more + 1) % 10] ?? '']), rig.engines[more % 2])),
    );
    const ends = firsts.map((id, index) => rig.order('skip', id, rig.engines[index % 2]));
    const ids = await Promise.all(dependents);
    await Promise.all(ends);
    await moveOn();
    expect(new Set(await rig.states(ids))).toEqual(new Set(['PENDING']));
  }
  expect(await isLeftToDo()).toBe(false);
});

test('an end without an afterwards is found by the next look of any node', async () => {
  const first = await rig.submit();
  const dependent = await rig.submit(onTasks([first]));
  expect(await isLeftToDo()).toBe(false);
  await rig.endUnheard('skip', [first]);
  expect(await isLeftToDo()).toBe(true);
  await rig.engines[1].dependents.moveOn();
  expect(await rig.states([dependent])).toEqual(['PENDING']);
  expect(await isLeftToDo()).toBe(false);
});

test('a cancel goes down a chain of a thousand', async () => {
  const requests = Array.from({ length: 1_000 }, (_, index) =>
    index === 0 ? [] : [{ requestIndex: index - 1, policy: 'cancel' as const }],
  );
  const chain = await rig.submitAll(requests);
  await rig.order('cancel', chain[0] ?? '');
  await moveOn();
  expect(new Set(await rig.states(chain))).toEqual(new Set(['CANCELLED']));
  expect(await isLeftToDo()).toBe(false);
});

test('a fan-in of a thousand is freed once, by the last of all ends', async () => {
  const firsts = await rig.submitAll(Array.from({ length: 1_000 }, () => []));
  const dependent = await rig.submit(onTasks(firsts));
  const [last = '', ...others] = firsts;
  const halves = [others.slice(0, 400), others.slice(400)];
  await Promise.all(halves.map((half) => rig.endUnheard('skip', half)));
  await moveOn();
  expect(await rig.states([dependent])).toEqual(['BLOCKED']);
  await rig.order('skip', last);
  await moveOn();
  expect(await rig.kinds(dependent)).toEqual(['submitted', 'unblocked']);
});

test('a fan-out of ten thousand is moved in bounded steps, and holds up nobody else', async () => {
  const first = await rig.submit();
  const policy = 'cancel' as const;
  const batches = Array.from({ length: 10 }, () =>
    rig.submitAll(Array.from({ length: 1_000 }, () => [{ taskId: first, policy }])),
  );
  const many = (await Promise.all(batches)).flat();
  const other = await rig.submit();
  const dependentOfOther = await rig.submit(onTasks([other]));
  await rig.endUnheard('skip', [first, other]);
  await moveOn();
  expect(new Set(await rig.states(many))).toEqual(new Set(['PENDING']));

  // The time of an event is that of its transaction.
  const steps = await rig.sql<{ count: number; hasOther: boolean }[]>`
    SELECT count(*)::int AS count, bool_or(task_id = ${dependentOfOther}) AS "hasOther" FROM task_event
    WHERE kind = 'unblocked' AND task_id = ANY(${[...many, dependentOfOther]}) GROUP BY time ORDER BY time`;
  expect(Math.max(...steps.map(({ count }) => count))).toBeLessThanOrEqual(limits.sweepBatchMax);
  expect(steps.findIndex(({ hasOther }) => hasOther)).toBeLessThanOrEqual(1);
  expect(await isLeftToDo()).toBe(false);
}, 60_000);
