import { countHandled } from './handling.ts';
import { runLoad, settings } from './parent.ts';
import { peerWorker } from './peer.ts';

const handling = countHandled();
const runner = await peerWorker({ [settings().taskType]: () => handling.handled() });

runLoad(async () => {
  const startMs = performance.now();
  const count = await handling.all;
  // Ends when every job is completed.
  await runner.stop();
  return { count, seconds: (performance.now() - startMs) / 1_000, latenciesMs: [] };
});
