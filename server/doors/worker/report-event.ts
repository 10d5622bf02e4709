import { create, fromJson } from '@bufbuild/protobuf';
import { type TaskReport, TaskReportSchema } from '@dstc/contract/dstc/v1/task_report_pb';
import {
  CancelAcknowledgedSchema,
  FailedSchema,
  type LeaseRef,
  LeaseRefSchema,
  ProgressSchema,
  ReleasedSchema,
  type Settlement,
  SettlementOutcome,
  SucceededSchema,
} from '@dstc/contract/dstc/v1/worker_pb';
import { type Caller, permissionMissing } from '../../auth/caller.ts';
import type { CloudEvent } from '../../domain/cloud-event.ts';
import { DstcError, fieldInvalid } from '../../domain/errors.ts';
import { isJson } from '../../domain/payload.ts';
import type { Sessions } from '../../engine/sessions.ts';
import { fenceOf, toSettlement } from '../convert/lease.ts';
import { reasonOf } from '../errors.ts';
import { validateMessage } from '../validate.ts';
import { holding, provenSession } from './proven-session.ts';
import type { ReportSource, WorkerReports } from './reports.ts';

export interface ReportEventDeps {
  readonly sessions: Sessions;
  readonly reports: WorkerReports;
}

/** Takes events by which workers report. Rejects with what is wrong with one, or with `LEASE_LOST` and the like. */
export type ReportByEvent = (event: CloudEvent, from: EventReporter) => Promise<Settlement>;

export interface EventReporter {
  readonly caller: Caller;
  readonly namespace: string;
}

const started = 'dstc.task.started';
const statusChanged = 'dstc.task.status.changed';
const finished = 'dstc.task.finished';

/** Types of events that are reports of workers; no rule sees them. */
export const reportTypes: ReadonlySet<string> = new Set([started, statusChanged, finished]);

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const decoder = new TextDecoder('utf-8', { fatal: true });

export function createReportByEvent({ sessions, reports }: ReportEventDeps): ReportByEvent {
  return async (event, { caller, namespace }) => {
    if (!caller.holdsAnywhere('work', namespace)) throw permissionMissing('work', namespace);
    const report = reportOf(event);
    const { source } = await provenSession(sessions, { namespace, session: report.session }, caller);
    const settlement = await settle(await holding(sessions, source), leaseOf(event, report), event.type, report);
    if (settlement.outcome === SettlementOutcome.LEASE_LOST || settlement.outcome === SettlementOutcome.REFUSED) {
      throw refusal(settlement, event);
    }
    return settlement;
  };

  async function settle(from: ReportSource, lease: LeaseRef, type: string, report: TaskReport): Promise<Settlement> {
    if (type !== finished) {
      const { progress } = report;
      const [verdict] = await sessions.verdicts(from, [fenceOf(lease)]);
      if (verdict?.verdict !== 'keep') return toSettlement(fenceOf(lease), { outcome: 'lease lost' });
      if (progress !== undefined) reports.progress(from, create(ProgressSchema, { items: [{ lease, progress }] }));
      return toSettlement(fenceOf(lease), { outcome: 'recorded', state: 'RUNNING' });
    }
    const [settlement] = await Promise.all(endOf(from, lease, report));
    if (settlement === undefined) throw new Error('a report was settled by nothing');
    return settlement;
  }

  function endOf(from: ReportSource, lease: LeaseRef, report: TaskReport): Promise<Settlement>[] {
    const { output, error, retryAfter, reason } = report;
    switch (report.result) {
      case 'succeeded':
        return reports.succeeded(
          from,
          create(SucceededSchema, { items: [{ lease, ...(output !== undefined && { output }) }] }),
        );
      case 'failed':
        return reports.failed(
          from,
          create(FailedSchema, {
            items: [{ lease, ...(error !== undefined && { error }), ...(retryAfter !== undefined && { retryAfter }) }],
          }),
        );
      case 'released':
        return reports.released(from, create(ReleasedSchema, { leases: [lease], reason }));
      case 'cancelled':
        return reports.cancelAcknowledged(from, create(CancelAcknowledgedSchema, { leases: [lease] }));
      default:
        throw fieldInvalid('data.result', `is required: succeeded, failed, released or cancelled`);
    }
  }
}

function leaseOf({ subject = '' }: CloudEvent, { lease }: TaskReport): LeaseRef {
  if (!uuid.test(subject)) throw fieldInvalid('subject', 'must be the id of the task');
  if (lease === undefined) throw fieldInvalid('data.lease', 'is required');
  return create(LeaseRefSchema, { taskId: subject, attempt: lease.attempt, leaseId: lease.leaseId });
}

function reportOf(event: CloudEvent): TaskReport {
  const { data, type } = event;
  if (data === undefined || !isJson(data.contentType)) throw fieldInvalid('data', 'must be JSON');
  let report: TaskReport;
  try {
    report = fromJson(TaskReportSchema, JSON.parse(decoder.decode(data.data)), { ignoreUnknownFields: false });
  } catch (error) {
    const why = error instanceof SyntaxError ? 'is no JSON' : error instanceof Error ? error.message : 'cannot be read';
    throw fieldInvalid('data', why);
  }
  validateReport(report);
  const { progress, result, output, error, retryAfter, reason } = report;
  const misplaced: readonly (readonly [string, boolean])[] = [
    ['progress', progress !== undefined && type !== statusChanged],
    ['result', result !== '' && type !== finished],
    ['output', output !== undefined && result !== 'succeeded'],
    ['error', error !== undefined && result !== 'failed'],
    ['retry_after', retryAfter !== undefined && result !== 'failed'],
    ['reason', reason !== '' && result !== 'released'],
  ];
  const [wrong] = misplaced.find(([, isWrong]) => isWrong) ?? [];
  if (wrong !== undefined) throw fieldInvalid(`data.${wrong}`, 'does not belong here');
  if (type === statusChanged && progress === undefined) throw fieldInvalid('data.progress', 'is required');
  if (result === 'failed' && error === undefined) throw fieldInvalid('data.error', 'is required');
  return report;
}

/** Fields are named as the sender sees them. */
function validateReport(report: TaskReport): void {
  try {
    validateMessage(TaskReportSchema, report);
  } catch (error) {
    if (!(error instanceof DstcError)) throw error;
    const violations = error.violations.map(({ field, description }) => ({ field: `data.${field}`, description }));
    throw new DstcError('FIELD_INVALID', `data.${error.message}`, { violations });
  }
}

function refusal({ error, message }: Settlement, { subject = '' }: CloudEvent): DstcError {
  const reason = reasonOf(error);
  if (reason === undefined) throw new Error('a report was refused without a reason');
  const text = message === '' ? `the lease on task ${subject} is not held any more; nothing was changed` : message;
  return new DstcError(reason, text, { metadata: { task_id: subject } });
}
