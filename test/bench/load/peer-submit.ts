import { runCallers } from './callers.ts';
import { input } from './input.ts';
import { runLoad, settings } from './parent.ts';
import { peerUtils } from './peer.ts';

const { seconds, taskType } = settings();
const utils = await peerUtils();
await utils.migrate();

runLoad(async () => {
  try {
    return await runCallers(seconds, () => utils.addJob(taskType, input()));
  } finally {
    await utils.release();
  }
});
