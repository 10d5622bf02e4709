import { fieldInvalid } from '../../domain/errors.ts';
import { labelConditionsOf } from '../../doors/convert/task-filter.ts';
import { filterOf } from '../../doors/convert/webhook.ts';
import type { WebhookSettings } from '../../store/webhooks.ts';
import { eventTypesOf } from '../event-filter.ts';
import { operationsNamedBy } from './listening.ts';

const ofTask = /^dstc\.task\./;
const ofTaskType = /^dstc\.(task|task_type|circuit)\./;

/** Refuses a filter that no event meets which webhooks get: it would be silence that looks like nothing happens. */
export function checkFilter(webhook: Pick<WebhookSettings, 'filter'>): void {
  const { types, taskTypes, taskIds, ...labels } = filterOf(webhook);
  if (types.length === 0) return;
  const named = operationsNamedBy(types).map((name) => `dstc.${name}`);
  const isGot = (type: string) => ofTaskType.test(type) || named.some((start) => type.startsWith(start));
  for (const [index, type] of types.entries()) {
    if (eventTypesOf(type).some(isGot)) continue;
    throw fieldInvalid(
      `webhook.filter.types[${index}]`,
      'is of events that no webhook gets; subscribe to events instead',
    );
  }
  const met = types.flatMap(eventTypesOf);
  if ((taskIds.length > 0 || labelConditionsOf(labels).length > 0) && !met.some((type) => ofTask.test(type))) {
    throw fieldInvalid(
      'webhook.filter.types',
      'have no event of a task, which labels and task ids ask for; leave those out',
    );
  }
  if (taskTypes.length > 0 && !met.some((type) => ofTaskType.test(type))) {
    throw fieldInvalid('webhook.filter.types', 'have no event that concerns a task type; leave the task types out');
  }
}
