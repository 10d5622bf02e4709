import type { Event } from '@dstc/contract/dstc/v1/event_pb';

/** For a namespace or a task type where there is none; neither can be called so. */
const none = '_';

/**
 * The subject of an event: `<cell>.<namespace>.<kind>.<task type>.<what happened>`. The parts of a task type's name are
 * tokens of their own, so that `dstc.*.task.email.>` stands for the events of all tasks whose type begins with `email`.
 */
export function subjectOf(cell: string, event: Pick<Event, 'namespace' | 'type' | 'taskType'>): string {
  // Such as dstc.task.succeeded.v1.
  const [, kind = '', what = ''] = event.type.split('.');
  const namespace = event.namespace === '' ? none : tokenOf(event.namespace);
  return `${tokenOf(cell)}.${namespace}.${tokenOf(kind)}.${tokensOf(event.taskType)}.${tokenOf(what)}`;
}

function tokensOf(taskType: string): string {
  if (taskType === '') return none;
  if (/^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/.test(taskType)) return taskType;
  return taskType.split('.').map(tokenOf).join('.');
}

/**
 * One token of a subject. Names are plain by the rules of the contract; whatever else comes is written as its bytes, so
 * that no name can be a wildcard, end a token, or stand for another name.
 */
function tokenOf(part: string): string {
  if (/^[A-Za-z0-9_-]+$/.test(part)) return part;
  if (part === '') return '%';
  return Buffer.from(part)
    .toString('latin1')
    .replace(/[^A-Za-z0-9_-]/g, (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`);
}
