import { appendFileSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { repository } from './repository.mjs';
import { StepFailed } from './slow-step.mjs';

const waitMsMax = 10 * 60_000;

/**
 * Runs `work` while no other process on this clone runs work of the same name; a holder that was killed is noticed by its
 * process id. Two terminals may start at once, and `npm ci` begins by deleting what the other one is about to import.
 *
 * @param work is given a function to name a child process by its id: should this process be killed, the lock holds until
 *   that child is gone too
 */
export async function exclusively(name, work) {
  const directory = join(repository, '.dstc', 'locks');
  mkdirSync(directory, { recursive: true });
  const lock = join(directory, name);
  await acquire(lock);
  try {
    return await work((pid) => appendFileSync(lock, ` ${pid}`));
  } finally {
    rmSync(lock, { force: true });
  }
}

async function acquire(lock) {
  // Written apart and then linked: the lock never exists without its owner's id in it.
  const own = `${lock}.${process.pid}`;
  writeFileSync(own, String(process.pid));
  const giveUpAt = performance.now() + waitMsMax;
  let told = false;
  try {
    while (!linked(own, lock)) {
      const holders = holdersOf(lock);
      if (holders !== undefined && !holders.split(' ').some(isAlive)) breakLock(lock, holders);
      else if (performance.now() > giveUpAt) {
        throw new StepFailed(`process ${holders} has held ${lock} for ten minutes; end it, or delete that file`);
      } else {
        if (!told) process.stderr.write(`waiting for process ${holders}, which is at it already …\n`);
        told = true;
        await pause(200);
      }
    }
  } finally {
    rmSync(own, { force: true });
  }
}

function linked(own, lock) {
  try {
    linkSync(own, lock);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function holdersOf(lock) {
  try {
    return readFileSync(lock, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function isAlive(holder) {
  const pid = Number(holder);
  if (pid === process.pid || !Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Two processes may find the same dead holder: what was moved away is put back when it was a new holder's after all. */
function breakLock(lock, deadHolders) {
  const aside = `${lock}.stale.${process.pid}`;
  try {
    renameSync(lock, aside);
  } catch (error) {
    if (error.code === 'ENOENT') return;
    throw error;
  }
  if (holdersOf(aside) !== deadHolders) linked(aside, lock);
  rmSync(aside, { force: true });
}
