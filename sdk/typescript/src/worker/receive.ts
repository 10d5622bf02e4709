import { durationMs } from '@bufbuild/protobuf/wkt';
import { FailureKind } from '@dstc/contract/dstc/v1/task_pb';
import {
  type Cancels_Item,
  type LeaseRef,
  type Reconciled_Item,
  ReconciliationVerdict,
  type Settlement,
  SettlementOutcome,
} from '@dstc/contract/dstc/v1/worker_pb';
import type { WorkResponse } from '@dstc/contract/dstc/v1/worker_service_pb';
import type { Jobs } from './jobs.ts';
import { failed } from './report.ts';

export interface ReceiveDeps {
  readonly jobs: Jobs;
  /** A report that the coordinator did not take and that is given up. */
  readonly onRefused: (lease: LeaseRef, message: string) => void;
}

type Message = Exclude<WorkResponse['message'], { case: undefined }>;
/** What the coordinator says about leases. */
export type LeaseMessage = Extract<Message, { case: 'assignments' | 'settled' | 'cancels' | 'reconciled' }>;

export function receive(deps: ReceiveDeps, message: LeaseMessage): void {
  switch (message.case) {
    case 'assignments':
      for (const assignment of message.value.items) deps.jobs.assign(assignment);
      break;
    case 'settled':
      for (const settlement of message.value.items) settle(deps, settlement);
      break;
    case 'cancels':
      for (const item of message.value.items) cancel(deps.jobs, item);
      break;
    case 'reconciled':
      for (const item of message.value.items) reconcile(deps.jobs, item);
      break;
  }
}

function settle({ jobs, onRefused }: ReceiveDeps, { lease, outcome, message }: Settlement): void {
  const job = jobs.find(lease);
  if (job === undefined) return;
  switch (outcome) {
    case SettlementOutcome.RECORDED:
    case SettlementOutcome.ALREADY_RECORDED:
    case SettlementOutcome.UNSPECIFIED:
      jobs.forget(job);
      break;
    case SettlementOutcome.LEASE_LOST:
      jobs.lose(job, 'LEASE_LOST', 'the lease is not held any more');
      break;
    case SettlementOutcome.REFUSED:
      if (job.state.phase === 'reported' && job.state.report.kind === 'succeeded') {
        // A result that cannot be recorded must not be worked out for ever: the task fails with the coordinator's words.
        jobs.report(job, failed(FailureKind.PERMANENT, 'REPORT_REFUSED', message));
      } else {
        onRefused(job.lease, message);
        jobs.forget(job);
      }
      break;
  }
}

function cancel(jobs: Jobs, { lease, reason, grace }: Cancels_Item): void {
  const job = jobs.find(lease);
  if (job?.state.phase === 'waiting') jobs.report(job, { kind: 'cancelAcknowledged' });
  if (job?.state.phase !== 'running') return;
  if (grace !== undefined) jobs.endsWithin(job, durationMs(grace));
  job.interrupt('CANCELLED', reason === '' ? 'the task was cancelled' : reason);
}

function reconcile(jobs: Jobs, { lease, verdict }: Reconciled_Item): void {
  const job = jobs.find(lease);
  if (job === undefined) return;
  switch (verdict) {
    case ReconciliationVerdict.KEEP:
    case ReconciliationVerdict.UNSPECIFIED:
      jobs.resend(job);
      break;
    case ReconciliationVerdict.DROP:
      jobs.lose(job, 'LEASE_LOST', 'the lease was lost while the worker was away');
      break;
    case ReconciliationVerdict.ALREADY_FINISHED:
      jobs.lose(job, 'LEASE_LOST', 'the attempt has ended already');
      break;
  }
}
