import { Logger, makeWorkerUtils, type Runner, run, type TaskList, type WorkerUtils } from 'graphile-worker';
import { settings } from './parent.ts';

const silent = new Logger(() => () => undefined);

/** As many connections as a coordinator has. */
export function peerUtils(): Promise<WorkerUtils> {
  return makeWorkerUtils({ preset: { worker: { ...shared(), maxPoolSize: 10 } } });
}

/** With the settings of the project's own page on performance; without its local queue every job is fetched by itself. */
export function peerWorker(taskList: TaskList): Promise<Runner> {
  const localQueue = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
  return run({
    preset: {
      worker: {
        ...shared(),
        concurrentJobs: 24,
        maxPoolSize: 25,
        ...(settings().localQueue === true ? localQueue : {}),
      },
    },
    taskList,
    parsedCronItems: [],
    noHandleSignals: true,
  });
}

/** A schema for each kind of load: jobs that nobody works on must not be in the way of others. */
function shared() {
  const schema = settings().taskType.replace('.', '_');
  return { connectionString: settings().access as string, schema, logger: silent };
}
