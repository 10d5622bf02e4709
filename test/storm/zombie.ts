import { setTimeout as pause } from 'node:timers/promises';
import type { LeaseRef } from '@dstc/contract/dstc/v1/worker_pb';
import { clientCredentials } from '@dstc/sdk';
import { leaseOf, openRawWorker, outcomeOf, type RawWorker } from '../setup/raw-worker.ts';
import { joinStorm, settings, tell } from './messages.ts';
import { type Stamp, staleMark } from './plan.ts';
import { createRandom } from './random.ts';

/**
 * A worker that reports when its time is over and others may have its tasks, in every way there is, and on leases of the
 * session that it had before: all of which the SDK would not do.
 */
joinStorm();
const { name, seed, addresses, ca, issuer, clientId, clientSecret } = settings();
const credentials = clientCredentials({ issuer, clientId, clientSecret });
const random = createRandom(seed);
const ways = ['succeeded', 'failed', 'released', 'cancelAcknowledged'] as const;
type Way = (typeof ways)[number];
/** More often than a node writes what it was told. */
const boastMs = 200;

/** Leases of the session before, by id. */
let foreign: LeaseRef[] = [];
for (;;) {
  // A stream that ends is followed by another one, as a new session.
  await haunt().catch(() => undefined);
  await pause(random.between(200, 1_000));
}

async function haunt(): Promise<void> {
  const token = await credentials.token();
  const hello = { taskTypes: [{ taskType: 'storm.haunted', slots: 6 }], slots: 6 };
  const worker = openRawWorker({ address: random.pick(addresses), token, ca, hello });
  const held = new Map<string, { readonly lease: LeaseRef; readonly stamp: OpenStamp }>();
  const reported = new Map<string, string>();

  function report(lease: LeaseRef, stamp: OpenStamp, way: Way, isTold: boolean): void {
    if (reported.has(lease.leaseId)) return;
    reported.set(lease.leaseId, isTold ? `told ${way}` : way);
    sendEnd(worker, lease, stamp, way);
  }

  async function hold(sessionId: string): Promise<void> {
    for (;;) {
      for (const assignment of (await worker.next('assignments', 60_000)).items) {
        const lease = leaseOf(assignment);
        const found = Buffer.from(assignment.checkpoint).toString();
        const stamp = { taskId: lease.taskId, sessionId, attempt: lease.attempt, by: name, beganMs: Date.now(), found };
        held.set(lease.leaseId, { lease, stamp });
        worker.send({ case: 'accepted', value: { leases: [lease] } });
        // The attempt is over after hauntedRunMs, and within a second or so somebody else has the next one.
        setTimeout(() => report(lease, stamp, 'succeeded', false), random.between(2_500, 4_500));
      }
    }
  }

  /** Tells of its progress for as long as it has not reported, whoever has the task by then. */
  function boast(): void {
    const leases = [...held.values()].flatMap(({ lease }) => (reported.has(lease.leaseId) ? [] : lease));
    if (leases.length === 0) return;
    const items = leases.map((lease) => {
      const checkpoint = Buffer.from(lease.leaseId);
      return { lease, progress: { percent: 50, message: lease.leaseId, checkpoint } };
    });
    worker.send({ case: 'progress', value: { items } });
    tell({ kind: 'boasted', leases: leases.map(({ taskId, leaseId }) => ({ taskId, leaseId })), atMs: Date.now() });
  }

  /** Told to stop, it knows that the lease is lost, and goes on all the same. */
  async function defy(): Promise<void> {
    for (;;) {
      for (const { lease: told } of (await worker.next('cancels', 60_000)).items) {
        const known = held.get(told?.leaseId ?? '');
        if (known === undefined) continue;
        const { lease, stamp } = known;
        worker.send({ case: 'accepted', value: { leases: [lease] } });
        const progress = { percent: 99, message: staleMark, checkpoint: Buffer.from(staleMark) };
        worker.send({ case: 'progress', value: { items: [{ lease, progress }] } });
        // The progress is stored before the report, which lets go of the lease, or not at all.
        setTimeout(() => report(lease, stamp, random.pick(ways), true), random.between(0, 1_500));
      }
    }
  }

  async function listen(): Promise<void> {
    for (;;) {
      for (const item of (await worker.next('settled', 60_000)).items) {
        const way = reported.get(item.lease?.leaseId ?? '');
        const [outcome, taskId] = [outcomeOf(item), item.lease?.taskId ?? ''];
        if (way === 'foreign') tell({ kind: 'foreign', outcome, taskId });
        else if (way !== undefined) tell({ kind: 'settled', report: way, outcome, taskId });
      }
    }
  }

  const boasting = setInterval(boast, boastMs);
  try {
    const { sessionId } = await worker.next('welcome');
    for (const lease of foreign.splice(0)) {
      reported.set(lease.leaseId, 'foreign');
      const stamp = { taskId: lease.taskId, sessionId, attempt: lease.attempt, by: name, beganMs: Date.now() };
      sendEnd(worker, lease, stamp, random.pick(ways));
    }
    const stay = pause(random.between(15_000, 30_000));
    await Promise.race([hold(sessionId), defy(), listen(), stay]);
  } finally {
    clearInterval(boasting);
    foreign = [...held.values()].map(({ lease }) => lease).filter(({ leaseId }) => !reported.has(leaseId));
    worker.cut();
  }
}

type OpenStamp = Omit<Stamp, 'endedMs'>;

function sendEnd(worker: RawWorker, lease: LeaseRef, stamp: OpenStamp, way: Way): void {
  worker.send(endOf(lease, { ...stamp, endedMs: Date.now() }, way));
}

function endOf(lease: LeaseRef, stamp: Stamp, way: Way): Parameters<RawWorker['send']>[0] {
  switch (way) {
    case 'succeeded': {
      const data = { case: 'data' as const, value: Buffer.from(JSON.stringify(stamp)) };
      return { case: way, value: { items: [{ lease, output: { value: data, contentType: 'application/json' } }] } };
    }
    case 'failed':
      return { case: way, value: { items: [{ lease, error: { code: 'LATE', message: staleMark } }] } };
    case 'released':
      return { case: way, value: { leases: [lease], reason: staleMark } };
    case 'cancelAcknowledged':
      return { case: way, value: { leases: [lease] } };
  }
}
