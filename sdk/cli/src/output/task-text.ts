import type { BinaryPayload, Dependency, Task, TaskError, TaskEvent, TaskState } from '@dstc/sdk';
import { formatDurationMs } from '../duration.ts';
import { jsonValue } from './print.ts';
import type { Screen } from './screen.ts';
import { type Painted, paint, type Text } from './shown.ts';
import { formatFields, formatTable } from './table.ts';

type Colors = Screen['colors'];

/** One task with everything that is known of it. */
export function taskText(colors: Colors, task: Task, now: Date): Painted {
  const labels = Object.entries(task.labels).map(([key, value]) => `${key}=${value}`);
  return formatFields([
    ['id', task.id],
    ['type', task.type],
    ['state', [stateText(colors, task.state), marksOf(task)]],
    ['attempt', `${task.attempt} of ${task.attemptsMax}`],
    ['priority', String(task.priority)],
    ['labels', labels.length === 0 ? undefined : labels.join(' ')],
    ['key', task.idempotencyKey === '' ? undefined : task.idempotencyKey],
    ['turns and limits of', task.limitKey === '' ? undefined : task.limitKey],
    ['submitted', `${timeText(task.createTime, now)} by ${task.creator}`],
    ['available', isLater(task.availableTime, now) ? timeText(task.availableTime, now) : undefined],
    ['started', task.startedTime && timeText(task.startedTime, now)],
    ['finished', task.finishedTime && timeText(task.finishedTime, now)],
    ['progress', task.progress && `${Math.round(task.progress.percent)}% ${task.progress.message}`.trim()],
    ['error', task.error && paint(colors.red, errorText(task.error))],
    ['cause', task.errorFingerprint === '' ? undefined : task.errorFingerprint],
    ...task.dependencies.map((dependency) => dependencyField(colors, dependency)),
    ['input', payloadText(task.input)],
    ['output', payloadText(task.output)],
  ]);
}

function dependencyField(colors: Colors, dependency: Dependency): [string, Text] {
  const { taskId, type, state, onFailure, waiting } = dependency;
  const known = type === '' ? taskId : [taskId, ' ', type, ' ', stateText(colors, state)];
  return [waiting ? 'waits for' : 'depends on', [known, failureTexts[onFailure]]];
}

const failureTexts = {
  cancel: '',
  continue: ', goes on if it fails',
  block: ', stays blocked if it fails',
} as const satisfies Record<Dependency['onFailure'], string>;

/** Tasks, one a line. */
export function tasksText(colors: Colors, tasks: readonly Task[], now: Date): Painted {
  return formatTable(
    [
      { title: 'id', value: (task: Task) => task.id },
      { title: 'type', value: (task: Task) => task.type },
      { title: 'state', value: (task: Task) => [stateText(colors, task.state), task.paused ? ' (paused)' : ''] },
      { title: 'attempt', value: (task: Task) => String(task.attempt) },
      { title: 'age', value: (task: Task) => ageText(task.createTime, now) },
      { title: 'note', value: noteOf },
    ],
    tasks,
  );
}

/** The history of a task, one event a line. */
export function historyText(colors: Colors, events: readonly TaskEvent[]): Painted {
  return formatTable(
    [
      { title: '#', value: (event: TaskEvent) => String(event.sequence) },
      { title: 'time', value: (event: TaskEvent) => event.time?.toISOString() ?? '' },
      { title: 'event', value: (event: TaskEvent) => event.kind },
      { title: 'state', value: (event: TaskEvent) => stateText(colors, event.state) },
      { title: 'attempt', value: (event: TaskEvent) => (event.attempt === 0 ? '' : String(event.attempt)) },
      { title: 'actor', value: (event: TaskEvent) => event.actor },
      { title: 'note', value: eventNote },
    ],
    events,
  );
}

/** What else is to be known about a state. */
function marksOf({ cancelRequested, paused, discarded }: Task): string {
  const marks = [cancelRequested && 'asked to stop', paused && 'paused', discarded && 'discarded'].filter(Boolean);
  return marks.length === 0 ? '' : ` (${marks.join(', ')})`;
}

function stateText(colors: Colors, state: TaskState): Painted {
  return paint(colors[colorOfState[state]], state);
}

const colorOfState = {
  UNSPECIFIED: 'gray',
  BLOCKED: 'gray',
  PENDING: 'yellow',
  RUNNING: 'cyan',
  SUCCEEDED: 'green',
  FAILED: 'red',
  CANCELLED: 'magenta',
  SKIPPED: 'gray',
} as const satisfies Record<TaskState, keyof Colors>;

/** How long ago, for a column; empty when unknown. */
export function ageText(time: Date | undefined, now: Date): string {
  return time === undefined ? '' : formatDurationMs(Math.max(0, now.getTime() - time.getTime()));
}

function timeText(time: Date | undefined, now: Date): string {
  if (time === undefined) return 'unknown';
  const distance = formatDurationMs(Math.abs(now.getTime() - time.getTime()));
  return `${time.toISOString()} (${isLater(time, now) ? `in ${distance}` : `${distance} ago`})`;
}

function isLater(time: Date | undefined, now: Date): boolean {
  return time !== undefined && time.getTime() > now.getTime();
}

function noteOf(task: Task): string {
  if (task.error !== undefined && task.state !== 'SUCCEEDED') return errorText(task.error);
  if (task.state === 'RUNNING' && task.progress !== undefined) {
    return `${Math.round(task.progress.percent)}% ${task.progress.message}`.trim();
  }
  return '';
}

function eventNote({ error, reason, retryDelayMs }: TaskEvent): string {
  const parts = [
    error && errorText(error),
    reason === '' ? undefined : reason,
    retryDelayMs === undefined ? undefined : `again in ${formatDurationMs(retryDelayMs)}`,
  ];
  return parts.filter((part) => part !== undefined).join(', ');
}

function errorText({ code, message }: TaskError): string {
  return code === '' ? message : `${code}: ${message}`;
}

function payloadText(payload: unknown): string | undefined {
  if (payload === undefined) return undefined;
  if (isBinary(payload)) return `${payload.data.length} bytes of ${payload.contentType}`;
  return JSON.stringify(payload, jsonValue);
}

function isBinary(payload: unknown): payload is BinaryPayload {
  return typeof payload === 'object' && payload !== null && 'data' in payload && payload.data instanceof Uint8Array;
}
