import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { type Client, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import {
  type Assignment,
  type Cancels_Item,
  type LeaseRef,
  ReconciliationVerdict,
  type Settlement,
} from '@dstc/contract/dstc/v1/worker_pb';
import { type SessionRef, WorkerService, type WorkRequestSchema } from '@dstc/contract/dstc/v1/worker_service_pb';
import { clientsOf, type EngineRig } from './rig.ts';

export type Message = NonNullable<MessageInitShape<typeof WorkRequestSchema>['message']>;
/** What a worker says of leases; the same messages on the stream and in a call. */
export type Report = Extract<
  Message,
  { case: 'progress' | 'succeeded' | 'failed' | 'released' | 'cancelAcknowledged' | 'accepted' }
>;

/** A worker, however it speaks to the coordinator. */
export interface Hand {
  /** Waits for so many tasks and takes them. */
  readonly take: (count: number) => Promise<Assignment[]>;
  /** Reports, and answers with the settlements of the leases, in their order; none for what has none. */
  readonly report: (report: Report, settledFor?: readonly LeaseRef[]) => Promise<Settlement[]>;
  /** Waits until it is told to stop something. */
  readonly cancelled: (held: readonly LeaseRef[]) => Promise<Cancels_Item>;
  /** Comes back, perhaps on another node, and says what it holds. */
  readonly reconcile: (held: readonly LeaseRef[], address?: string) => Promise<string[]>;
  /** Nothing is heard of it any more. */
  readonly vanish: () => void;
  /** What it is told when it comes back too late. */
  readonly comeBack: () => Promise<string>;
}

/** Each way to be a worker. */
export type HandName = 'on a stream' | 'without a stream' | 'without a stream, in JSON';
export type OpenHand = (rig: EngineRig, type: string, slots: number) => Promise<Hand>;

export const hands: Readonly<Record<HandName, OpenHand>> = {
  'on a stream': streamHand,
  'without a stream': async (rig, type, slots) => {
    const token = await rig.coordinator.token('worker');
    return unaryHand((address = rig.coordinator.grpcAddress) => clientsOf(address, token).workers, type, slots);
  },
  'without a stream, in JSON': async (rig, type, slots) => {
    const token = await rig.coordinator.token('worker');
    // Another node is reached over gRPC: a session knows neither doors nor nodes.
    return unaryHand(
      (address) =>
        address === undefined ? jsonClient(rig.coordinator.httpUrl, token) : clientsOf(address, token).workers,
      type,
      slots,
    );
  },
};

function jsonClient(baseUrl: string, token: string): Client<typeof WorkerService> {
  const transport = createConnectTransport({
    baseUrl,
    httpVersion: '1.1',
    useBinaryFormat: false,
    interceptors: [
      (call) => (request) => {
        request.header.set('authorization', `Bearer ${token}`);
        return call(request);
      },
    ],
  });
  return createClient(WorkerService, transport);
}

async function streamHand(rig: EngineRig, type: string, slots: number): Promise<Hand> {
  let worker = await rig.workerOf(type, slots);
  const { session } = worker;
  return {
    async take(count) {
      const assignments = await worker.assignments(count);
      worker.send({ case: 'accepted', value: { leases: assignments.flatMap(({ lease }) => lease ?? []) } });
      return assignments;
    },
    async report(report, settledFor = []) {
      worker.send(report);
      return worker.settlements(settledFor);
    },
    async cancelled() {
      const [item] = (await worker.next('cancels')).items;
      if (item === undefined) throw new Error('a cancel of nothing');
      return item;
    },
    async reconcile(held, address) {
      worker.cut();
      const hello = { taskTypes: [{ taskType: type, slots }], slots, resume: { ...session, held: [...held] } };
      worker = await rig.worker(hello, address === undefined ? {} : { address });
      const { items } = await worker.next('reconciled');
      return items.map(({ verdict }) => ReconciliationVerdict[verdict]);
    },
    vanish: () => worker.cut(),
    async comeBack() {
      const hello = { taskTypes: [{ taskType: type, slots }], slots, resume: { ...session, held: [] } };
      return rig.worker(hello).then(
        () => 'welcome',
        (error: Error) => error.message,
      );
    },
  };
}

function unaryHand(clientOf: (address?: string) => Client<typeof WorkerService>, type: string, slots: number): Hand {
  let client = clientOf();
  let known: SessionRef | undefined;
  /** Begins with the first call that leases. */
  const session = (): SessionRef => {
    if (known === undefined) throw new Error('there is no session before the first task');
    return known;
  };
  return {
    async take(count) {
      const taken: Assignment[] = [];
      while (taken.length < count) {
        const tasksMax = Math.min(slots, count - taken.length);
        const request = { taskTypes: [type], tasksMax, wait: durationFromMs(5_000), ...(known && { session: known }) };
        const { assignments, session: proof } = await client.leaseTasks(request);
        known = proof;
        if (assignments.length === 0) throw new Error(`only ${taken.length} of ${count} tasks came`);
        taken.push(...assignments);
      }
      return taken;
    },
    async report(report) {
      // What is leased without a stream counts as accepted.
      if (report.case === 'accepted') return [];
      return (await client.reportTasks({ session: session(), [report.case]: report.value })).settlements;
    },
    async cancelled(held) {
      for (;;) {
        const [item] = (await client.extendLeases({ session: session(), held: [...held] })).cancels;
        if (item !== undefined) return item;
      }
    },
    async reconcile(held, address) {
      client = clientOf(address);
      const { reconciled } = await client.extendLeases({ session: session(), held: [...held] });
      return reconciled.map(({ verdict }) => ReconciliationVerdict[verdict]);
    },
    vanish: () => undefined,
    async comeBack() {
      return client.extendLeases({ session: session() }).then(
        () => 'welcome',
        (error: Error) => error.message,
      );
    },
  };
}
