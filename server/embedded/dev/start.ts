import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { clientCredentials, createClient } from '@dstc/sdk';
import { StartError } from '../start-error.ts';
import { removeDevProfile } from './dev-profile.ts';
import { examples } from './examples.ts';
import { printNextSteps } from './next-steps.ts';
import { createParts, type Parts } from './parts.ts';
import { checkPorts } from './ports.ts';
import { runExamples } from './run-examples.ts';
import type { Screen } from './screen.ts';
import type { StartSettings } from './settings.ts';
import { holdStartLock } from './start-lock.ts';
import { partLine, startPlatform } from './start-platform.ts';
import { startWorkers } from './start-workers.ts';
import { createWorkerSessions } from './worker-sessions.ts';

export interface StartDeps {
  readonly screen: Screen;
  /** Aborted to stop everything in order. */
  readonly interrupted: AbortSignal;
}

const interruptedStatus = 130;
const examplesMsMax = 180_000;

/** Runs the one-command start to its end and resolves with the exit status. */
export async function start({ screen, interrupted }: StartDeps, settings: StartSettings): Promise<number> {
  const parts = createParts();
  // A part that ends unasked, and a Ctrl-C, end whatever is being waited for.
  const over = Promise.withResolvers<number>();
  const lost = (why: string) => over.reject(new StartError(why));
  over.promise.catch(() => undefined);
  // Without --once a Ctrl-C is the way to end it, and no failure.
  const status = settings.once ? interruptedStatus : 0;
  interrupted.addEventListener('abort', () => over.resolve(status), { once: true });
  try {
    return await run({ screen, interrupted, parts, lost, over: over.promise }, settings);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    screen.problem(`\n${error.message}`);
    return 1;
  } finally {
    if (interrupted.aborted) screen.line('\nstopping: workers, coordinator, NATS, identity provider, database …');
    await parts.stop();
    if (interrupted.aborted) screen.line('stopped');
  }
}

interface RunDeps extends StartDeps {
  readonly parts: Parts;
  readonly lost: (why: string) => void;
  readonly over: Promise<number>;
}

async function run(deps: RunDeps, settings: StartSettings): Promise<number> {
  const { screen, interrupted, parts, lost, over } = deps;
  const { dataDir, once } = settings;
  await mkdir(join(dataDir, 'log'), { recursive: true });
  const lock = await holdStartLock(dataDir);
  parts.add(() => lock.release());
  await removeDevProfile(dataDir);
  if (lock.afterKill) screen.line('The last start was killed; what is left of it ends first.');
  await checkPorts(settings, lock.afterKill);

  screen.line(screen.style('bold', 'DSTC starts'));
  const profile = await startPlatform({ screen, parts, onLost: lost }, settings);
  if (interrupted.aborted) return over;

  const credentials = (client: keyof typeof profile.clients) =>
    clientCredentials({ issuer: profile.issuer, ...profile.clients[client] });
  const operator = createClient({ address: profile.grpcAddress, credentials: credentials('operator') });
  parts.add(async () => operator.close());
  const producer = createClient({ address: profile.grpcAddress, credentials: credentials('producer') });
  parts.add(async () => producer.close());
  const sessions = createWorkerSessions(operator);

  async function play(): Promise<number> {
    for (const { type } of examples) await operator.types.apply(await type());
    const lostWorker = (why: string) => (once ? lost(why) : screen.problem(`\n${why}`));
    await startWorkers({ screen, parts, sessions, onLost: lostWorker }, { examples, profile, dataDir });
    screen.line(partLine('logs', join(dataDir, 'log')));
    const giveUp = AbortSignal.timeout(examplesMsMax);
    const signal = AbortSignal.any([interrupted, giveUp]);
    const asExpected = await runExamples({ client: producer, sessions, screen }, examples, signal).catch(
      (error: unknown) => {
        throw giveUp.aborted ? new StartError('the example tasks have not ended in three minutes') : error;
      },
    );
    if (once) return asExpected ? 0 : 1;
    printNextSteps(screen, settings, profile);
    return over;
  }
  return Promise.race([play(), over]);
}
