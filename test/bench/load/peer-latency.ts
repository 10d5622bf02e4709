import { measureLatency } from './latency.ts';
import { runLoad, settings } from './parent.ts';
import { peerUtils, peerWorker } from './peer.ts';

const { seconds, taskType } = settings();
const latency = measureLatency();
const runner = await peerWorker({
  [taskType]: (payload) => latency.handlerStarted((payload as { number: number }).number),
});
const utils = await peerUtils();

runLoad(async () => {
  try {
    return await latency.run(seconds, (number) => utils.addJob(taskType, { number }));
  } finally {
    await runner.stop();
    await utils.release();
  }
});
