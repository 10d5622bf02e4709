import { create } from '@bufbuild/protobuf';
import { TaskProgressSchema } from '@dstc/contract/dstc/v1/task_pb';
import { AssignmentSchema, LeaseRefSchema } from '@dstc/contract/dstc/v1/worker_pb';
import { expect, test } from 'vitest';
import { Job } from './job.ts';
import { Outbox } from './outbox.ts';
import { type Report, succeeded } from './report.ts';

const bytesMax = 4 * 1024 * 1024;
let serial = 0;

function job(report?: Report): Job {
  serial += 1;
  const lease = create(LeaseRefSchema, { taskId: `task-${serial}`, attempt: 1, leaseId: `lease-${serial}` });
  const made = new Job(create(AssignmentSchema, { lease, taskType: 'a' }), lease, Number.POSITIVE_INFINITY);
  made.state = report === undefined ? { phase: 'running' } : { phase: 'reported', report };
  return made;
}

function takeAll(outbox: Outbox, max = bytesMax) {
  const messages = [];
  for (let next = outbox.take(max); next !== undefined; next = outbox.take(max)) messages.push(next.message);
  return messages;
}

test('gathers reports into messages of a thousand', () => {
  const outbox = new Outbox();
  for (let count = 0; count < 1_500; count += 1) outbox.report(job(succeeded(count, bytesMax)));
  const sizes = takeAll(outbox).map((message) =>
    message.case === 'succeeded' ? message.value.items.length : message.case,
  );
  expect(sizes).toEqual([1_000, 500]);
});

test('keeps messages under the limit, and sends what is larger alone', () => {
  const outbox = new Outbox();
  for (const bytes of [400, 400, 5_000, 400]) outbox.report(job(succeeded('x'.repeat(bytes), bytesMax)));
  const sizes = takeAll(outbox, 2_000).map((message) =>
    message.case === 'succeeded' ? message.value.items.length : 0,
  );
  expect(sizes).toEqual([2, 1, 1]);
});

test('says a report once for each stream', () => {
  const outbox = new Outbox();
  const done = job(succeeded(1, bytesMax));
  outbox.report(done);
  outbox.report(done);
  expect(takeAll(outbox)).toHaveLength(1);
  outbox.report(done);
  expect(takeAll(outbox)).toHaveLength(0);
  outbox.clear();
  outbox.report(done);
  expect(takeAll(outbox)).toHaveLength(1);
});

test('leaves out reports on leases that were lost meanwhile', () => {
  const outbox = new Outbox();
  const lost = job(succeeded(1, bytesMax));
  outbox.report(lost);
  lost.state = { phase: 'gone' };
  expect(takeAll(outbox)).toEqual([]);
});

test('sends the latest demand and the latest progress', () => {
  const outbox = new Outbox();
  outbox.demand({ credits: 1 });
  outbox.demand({ credits: 2 });
  const running = job();
  running.progress = create(TaskProgressSchema, { percent: 10 });
  outbox.progress(running);
  running.progress = create(TaskProgressSchema, { percent: 20 });
  outbox.progress(running);
  expect(takeAll(outbox)).toMatchObject([
    { case: 'demand', value: { credits: 2 } },
    { case: 'progress', value: { items: [{ progress: { percent: 20 } }] } },
  ]);
});

test('sends progress again only after a while', async () => {
  const outbox = new Outbox();
  const running = job();
  running.progress = create(TaskProgressSchema, { percent: 10 });
  outbox.progress(running);
  expect(takeAll(outbox)).toHaveLength(1);
  outbox.progress(running);
  expect(takeAll(outbox)).toHaveLength(0);
  const woken = new Promise<void>((resolve) => outbox.listen(resolve));
  await woken;
  expect(takeAll(outbox)).toHaveLength(1);
});

test('forgets progress once the report is there', () => {
  const outbox = new Outbox();
  const running = job();
  running.progress = create(TaskProgressSchema, { percent: 10 });
  outbox.progress(running);
  running.state = { phase: 'reported', report: succeeded(1, bytesMax) };
  outbox.report(running);
  expect(takeAll(outbox).map((message) => message.case)).toEqual(['succeeded']);
});

test('says releases with their reason, and accepts before reports', () => {
  const outbox = new Outbox();
  const released = job({ kind: 'released', reason: 'the worker stops' });
  outbox.report(released);
  outbox.report(job({ kind: 'cancelAcknowledged' }));
  outbox.accept(released.lease);
  expect(takeAll(outbox)).toMatchObject([
    { case: 'accepted', value: { leases: [{ leaseId: released.lease.leaseId }] } },
    { case: 'released', value: { reason: 'the worker stops' } },
    { case: 'cancelAcknowledged' },
  ]);
});
