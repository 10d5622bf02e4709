import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { never, startWebhookRig, taskEvent, type WebhookRig } from './rig.ts';

let rig: WebhookRig;
beforeEach(async () => {
  rig = await startWebhookRig();
});
afterEach(() => rig.stop());

describe('an issue', () => {
  const format = { kind: 'github_issue', labels: [], assignees: [], keepOpen: false } as const;

  it('is opened by a failure and closed by the success that follows, in this order, and by nothing else', async () => {
    const [node, to] = [rig.node(), await rig.receiver()];
    const { id } = await rig.create(node, `${to.url}/repos/a/b`, { format });
    to.answer = ({ method, path }, response) => {
      const isNew = method === 'POST' && path.endsWith('/issues');
      // The first attempt to open it fails: everything else has to wait for the second one.
      if (isNew && to.requests.length === 1) response.writeHead(502).end();
      else response.writeHead(isNew ? 201 : 200).end('{"number":7}');
    };
    const failed = taskEvent('failed', { state: 'FAILED' });
    const at = (sequence: number) => ({ position: { ...failed.position, sequence } });
    const redriven = taskEvent('redriven', at(2));
    const succeeded = taskEvent('succeeded', at(4));
    const others = [taskEvent('succeeded'), taskEvent('submitted'), taskEvent('leased', at(3))];
    await node.consumer.deliver(0, [failed, redriven, ...others, succeeded], never);
    await rig.recorded(id, 1);
    // What follows is due, and waits all the same.
    expect(to.requests.map(({ path }) => path)).toEqual(['/repos/a/b/issues']);
    await rig.hasten(id);
    await rig.allIn(id, 'SUCCEEDED');
    expect(to.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'POST /repos/a/b/issues',
      'POST /repos/a/b/issues',
      'POST /repos/a/b/issues/7/comments',
      'PATCH /repos/a/b/issues/7',
      'POST /repos/a/b/issues/7/comments',
    ]);
    const [count] = await rig.sql`SELECT count(*)::int FROM webhook_delivery WHERE webhook_id = ${id}`;
    expect(count).toEqual({ count: 3 });
    // Much later, in another batch, the issue is still known.
    await node.consumer.deliver(0, [taskEvent('failed', at(9)), taskEvent('discarded')], never);
    await rig.allIn(id, 'SUCCEEDED');
    expect(to.requests.slice(5).map(({ method, path }) => `${method} ${path}`)).toEqual([
      'PATCH /repos/a/b/issues/7',
      'POST /repos/a/b/issues/7/comments',
    ]);
  });
});
