import type { DstcEvent, TaskError } from '@dstc/sdk';
import { formatDurationMs } from '../duration.ts';
import type { Screen } from './screen.ts';
import { oneLine, type Painted, paint, shown } from './shown.ts';

type Colors = Screen['colors'];

/** An event in one line: when, what, of which type, about what, by whom, and what else there is to say. */
export function eventText(colors: Colors, event: DstcEvent): Painted {
  const { time, taskType, subject, actor } = event;
  const name = event.kind === 'unknown' ? event.type : event.kind;
  const about = subject === taskType ? '' : subject;
  const parts = [
    paint(colors.gray, time?.toISOString() ?? ''),
    paint(colorOf(colors, name), name.padEnd(kindWidth)),
    ...[taskType, about, paint(colors.gray, actor), noteOf(event)].filter((part) => part !== ''),
  ];
  return { painted: oneLine(parts.map(shown).join('  ')) };
}

/** That of `task.retry_scheduled`; few are longer. */
const kindWidth = 20;

function colorOf(colors: Colors, name: string): (text: string) => string {
  if (/failed|lease_lost|opened|discarded|deleted/.test(name)) return colors.red;
  if (/succeeded|closed/.test(name)) return colors.green;
  if (/retry|released|paused|cancel|drained|half/.test(name)) return colors.yellow;
  return colors.cyan;
}

function noteOf({ data }: DstcEvent): string {
  if (data === undefined) return '';
  const parts = [
    'task' in data && data.task !== undefined && data.task.attempt > 1 && `attempt ${data.task.attempt}`,
    'error' in data && data.error !== undefined && errorText(data.error),
    'reason' in data && data.reason,
    'retryDelayMs' in data && data.retryDelayMs !== undefined && `again in ${formatDurationMs(data.retryDelayMs)}`,
    'forced' in data && data.forced && 'until told otherwise',
    'deadline' in data && data.deadline !== undefined && `until ${data.deadline.toISOString()}`,
    'taskTypes' in data &&
      Object.entries(data.taskTypes)
        .map(([type, slots]) => `${type} ×${slots}`)
        .join(' '),
    'node' in data && data.node !== '' && `on ${data.node}`,
  ];
  return parts.filter((part) => typeof part === 'string' && part !== '').join(', ');
}

function errorText({ code, message }: TaskError): string {
  return code === '' ? message : `${code}: ${message}`;
}
