import { input } from './input.ts';
import { runLoad, settings } from './parent.ts';
import { peerUtils } from './peer.ts';
import { produce } from './produce.ts';

const { seconds, taskType } = settings();
const utils = await peerUtils();

runLoad(async () => {
  try {
    return await produce(seconds, (size) =>
      utils.addJobs(Array.from({ length: size }, () => ({ identifier: taskType, payload: input() }))),
    );
  } finally {
    await utils.release();
  }
});
