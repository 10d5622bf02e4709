import type { EventKind } from '../../domain/lifecycle.ts';
import type { SystemEventKind } from '../../domain/system-event.ts';

/** What messages, issues and pipelines tell of an event, taken from the CloudEvent that is stored with the delivery. */
export interface EventFacts {
  readonly id: string;
  readonly type: string;
  readonly time: string;
  readonly namespace: string;
  /** Empty when it concerns none or several. */
  readonly taskType: string;
  /** Empty when it is about no task. */
  readonly taskId: string;
  /** What it is about, when that is no task. */
  readonly subject: string;
  /** 0 when it concerns none. */
  readonly attempt: number;
  readonly errorCode: string;
  readonly errorMessage: string;
  readonly reason: string;
  readonly actor: string;
}

/** The type of the event that people send to try a webhook. */
export const testEventType = 'dstc.webhook.test.v1';

interface CloudEvent {
  readonly id: string;
  readonly type: string;
  readonly time: string;
  readonly subject?: string;
  readonly namespace?: string;
  readonly tasktype?: string;
  readonly actor?: string;
  readonly data?: {
    readonly task?: { readonly id?: string; readonly attempt?: number };
    readonly error?: { readonly code?: string; readonly message?: string };
    readonly reason?: string;
  };
}

export function factsOf(json: string): EventFacts {
  const {
    id,
    type,
    time,
    subject = '',
    namespace = '',
    tasktype = '',
    actor = '',
    data = {},
  } = JSON.parse(json) as CloudEvent;
  return {
    ...{ id, type, time, namespace, subject, actor },
    taskType: tasktype,
    taskId: data.task?.id ?? '',
    attempt: data.task?.attempt ?? 0,
    errorCode: data.error?.code ?? '',
    errorMessage: data.error?.message ?? '',
    reason: data.reason ?? '',
  };
}

/** `task.failed` of `dstc.task.failed.v1`. */
export function kindOf({ type }: Pick<EventFacts, 'type'>): string {
  return type.replace(/^dstc\./, '').replace(/\.v\d+$/, '');
}

/** What happened, in a sentence without what people have written. A kind that is missing here breaks the build. */
const headlines = {
  submitted: 'was submitted',
  unblocked: 'may start: what it depends on has ended',
  leased: 'was given to a worker',
  started: 'was started',
  succeeded: 'succeeded',
  retry_scheduled: 'failed and will be tried again',
  failed: 'failed',
  released: 'was given back by its worker',
  lease_lost: 'lost its worker and will be tried again',
  cancel_requested: 'is being cancelled',
  cancelled: 'was cancelled',
  paused: 'was paused',
  resumed: 'was resumed',
  skipped: 'was skipped',
  redriven: 'was redriven',
  discarded: 'was discarded',
} as const satisfies Record<EventKind, string>;

const systemHeadlines = {
  'task_type.applied': 'Task type was applied',
  'task_type.deleted': 'Task type was deleted',
  'task_type.paused': 'Task type was paused',
  'task_type.resumed': 'Task type was resumed',
  'circuit.opened': 'Circuit was opened',
  'circuit.half_opened': 'Circuit is being tried',
  'circuit.closed': 'Circuit was closed',
  'namespace.paused': 'Namespace was paused',
  'namespace.resumed': 'Namespace was resumed',
  'worker_session.started': 'Worker session has started',
  'worker_session.drained': 'Worker session is drained',
  'worker_session.ended': 'Worker session has ended',
  'policy.changed': 'Policy has changed',
} as const satisfies Record<SystemEventKind, string>;

const allHeadlines: ReadonlyMap<string, string> = new Map([
  ...Object.entries(headlines).map(([kind, text]): [string, string] => [`task.${kind}`, `Task ${text}`]),
  ...Object.entries(systemHeadlines),
  [kindOf({ type: testEventType }), 'This is a test of a webhook'],
]);

/** Such as `Task failed: email.send`. */
export function headlineOf(facts: EventFacts): string {
  const what = allHeadlines.get(kindOf(facts)) ?? facts.type;
  const about = facts.taskType || facts.subject;
  return about === '' ? what : `${what}: ${about}`;
}

/** Name and value of what is worth telling, apart from the error's message and the reason. */
export function factList(facts: EventFacts): readonly (readonly [name: string, value: string])[] {
  const list: readonly (readonly [string, string])[] = [
    ['Task type', facts.taskType],
    ['Task', facts.taskId],
    ['Attempt', facts.attempt === 0 ? '' : String(facts.attempt)],
    ['Error', facts.errorCode],
    ['Namespace', facts.namespace],
    ['By', facts.actor],
    ['Time', facts.time],
  ];
  return list.filter(([, value]) => value !== '');
}

/** What people or workers have written about it; may be empty. */
export function wordsOf(facts: EventFacts): string {
  return [facts.errorMessage, facts.reason].filter((text) => text !== '').join('\n');
}

/** At most this many characters, and no half of one. */
export function shortened(text: string, charactersMax: number): string {
  const characters = [...text.toWellFormed()];
  return characters.length <= charactersMax
    ? characters.join('')
    : `${characters.slice(0, charactersMax - 1).join('')}…`;
}
