import { type EventKind, moves } from '../../server/domain/lifecycle.ts';
import type { SystemEventData, SystemEventKind } from '../../server/domain/system-event.ts';
import type { StoredEvent, StoredTaskEvent } from '../../server/store/select-events.ts';

const taskId = '019bd4c2-7a5e-7c31-9f0e-3a4d5b6c7d8e';
const sessionId = '019bd4c0-1111-7abc-8def-0123456789ab';
const timeMs = Date.parse('2026-11-28T09:30:00.123Z');
const operator = 'ada@login.example.com';

type Facts = Partial<Pick<StoredTaskEvent, 'error' | 'reason' | 'retryDelayMs' | 'actor'>> & {
  readonly hasLease?: true;
};

const byWorker = { actor: 'mailer@login.example.com', hasLease: true } as const;
const timeout = { code: 'PROVIDER_TIMEOUT', message: 'the provider did not answer', kind: 'TRANSIENT' } as const;
const lost = { code: 'WORKER_LOST', message: 'the worker gave no sign of life', kind: 'TRANSIENT' } as const;

/** What an event of each kind tells. One that is missing breaks the build. */
const taskFacts: Readonly<Record<EventKind, Facts>> = {
  submitted: { actor: 'shop@login.example.com' },
  unblocked: { actor: 'system:dependencies' },
  leased: byWorker,
  started: byWorker,
  succeeded: byWorker,
  retry_scheduled: { ...byWorker, error: timeout, retryDelayMs: 1_500 },
  failed: { ...byWorker, error: timeout },
  released: { ...byWorker, reason: 'the worker shuts down' },
  lease_lost: { ...byWorker, actor: 'system:sweep', error: lost },
  cancel_requested: { hasLease: true, actor: operator, reason: 'ordered twice' },
  cancelled: { actor: operator, reason: 'ordered twice' },
  paused: { actor: operator, reason: 'the provider is being asked' },
  resumed: { actor: operator, reason: 'the provider has answered' },
  skipped: { actor: operator, reason: 'sent by hand' },
  redriven: { actor: operator, reason: 'the provider is back' },
  discarded: { actor: operator, reason: 'the address does not exist' },
};

interface SystemFacts {
  readonly subject: string;
  readonly actor?: string;
  readonly data: SystemEventData;
}

const type = 'email.send';
const etag = '0f8fad5b-d9cb-469f-a165-70867728950e';
const circuit = { subject: type, actor: 'system:circuit' };
const session = { subject: sessionId, actor: byWorker.actor };

const systemFacts: Readonly<Record<SystemEventKind, SystemFacts>> = {
  'task_type.applied': { subject: type, data: { etag } },
  'task_type.deleted': { subject: type, data: { etag } },
  'task_type.paused': { subject: type, data: { reason: 'the provider is away' } },
  'task_type.resumed': { subject: type, data: { reason: 'the provider is back' } },
  'circuit.opened': { ...circuit, data: { reason: '12 of 20 attempts failed within 60 s', isForced: false } },
  'circuit.half_opened': { ...circuit, data: { reason: 'probes are leased' } },
  'circuit.closed': { subject: type, data: { reason: 'the provider says that it works', isForced: true } },
  'namespace.paused': { subject: 'default', data: { reason: 'maintenance' } },
  'namespace.resumed': { subject: 'default', data: { reason: 'the maintenance is over' } },
  'worker_session.started': { ...session, data: { taskTypes: { [type]: 10 }, labels: { zone: 'a' }, node: 'node-1' } },
  'worker_session.drained': {
    ...{ subject: sessionId },
    data: { reason: 'a new version', deadline: '2026-11-28T09:35:00.123Z' },
  },
  'worker_session.ended': { ...session, data: { reason: 'the worker has ended it' } },
  'policy.changed': {
    ...{ subject: 'policy', actor: 'system:policy' },
    data: { digest: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', node: 'node-1' },
  },
};

/** An event of every kind, as the store has them. */
export function exampleEvents(): readonly StoredEvent[] {
  return [
    ...namesOf(taskFacts).map((kind) => taskExample(kind, taskFacts[kind])),
    ...namesOf(systemFacts).map((kind, index) => systemExample(kind, systemFacts[kind], index)),
  ];
}

function taskExample(kind: EventKind, { hasLease, ...facts }: Facts): StoredEvent {
  const lease = hasLease === undefined ? null : '019bd4c2-8000-7fff-bfff-00112233aabb';
  return {
    of: 'task',
    position: { order: '1', subjectId: taskId, sequence: kind === 'submitted' ? 1 : 3, timeMs },
    ...{ namespace: 'default', type, kind, labels: { customer: '4711' }, attempt: hasLease === undefined ? 0 : 1 },
    state: moves.find(({ effect }) => effect.event === kind)?.to ?? 'PENDING',
    ...{ leaseId: lease, sessionId: lease && sessionId },
    ...{ actor: operator, error: null, reason: null, retryDelayMs: null, ...facts },
    traceParent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  };
}

function systemExample(kind: SystemEventKind, facts: SystemFacts, index: number): StoredEvent {
  const id = `019bd4c2-9000-7000-8000-${String(index + 1).padStart(12, '0')}`;
  const namespace = kind === 'policy.changed' ? '' : 'default';
  const position = { order: '1', subjectId: id, sequence: 2, timeMs };
  return { ...{ of: 'system', position, id, kind, namespace, actor: operator }, ...facts };
}

function namesOf<Name extends string>(record: Readonly<Record<Name, unknown>>): Name[] {
  return Object.keys(record) as Name[];
}
