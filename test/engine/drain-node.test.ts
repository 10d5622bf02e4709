import { ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema } from '@dstc/contract/google/rpc/error_details_pb';
import { expect, test } from 'vitest';
import { startTestCoordinator } from '../setup/coordinator.ts';
import { clientsOf } from './rig.ts';

test('a node that drains answers the calls that only wait, at once', async () => {
  const coordinator = await startTestCoordinator();
  try {
    const { grpcAddress, drain } = await coordinator.startNode();
    const token = await coordinator.token('operator');
    const { tasks, workers, types } = clientsOf(grpcAddress, token);
    await types.applyTaskType({ taskType: { name: 'waiting' } });
    const { task } = await tasks.submitTask({ type: 'waiting', delay: { seconds: 600n } });
    const id = task?.id ?? '';
    const seconds = { seconds: 50n };

    const awaited = tasks.awaitTask({ id, timeout: seconds });
    const leased = workers.leaseTasks({ taskTypes: ['waiting'], wait: seconds });
    const watched = (async () => {
      const seen: unknown[] = [];
      try {
        for await (const message of tasks.watchTasks({ ids: [id] })) seen.push(message.task?.id);
      } catch (error) {
        seen.push(ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.reason);
      }
      return seen;
    })();
    // Behind them, so that they are under way when it is answered.
    await tasks.getTask({ id });

    await Promise.all([
      drain(),
      expect(awaited).resolves.toMatchObject({ finished: false, task: { id } }),
      expect(leased).resolves.toMatchObject({ assignments: [] }),
      expect(watched).resolves.toEqual([id, 'NODE_DRAINING']),
    ]);
  } finally {
    await coordinator.stop();
  }
});
