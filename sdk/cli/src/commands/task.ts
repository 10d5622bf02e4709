import type { Task, TaskState } from '@dstc/sdk';
import { buildCommand, buildRouteMap } from '@stricli/core';
import type { CliContext } from '../context.ts';
import {
  type CallFlags,
  callAliases,
  callFlags,
  durationFlag,
  integerParser,
  type Label,
  labelsFlag,
  textFlag,
} from '../flags.ts';
import { printMany, printOne } from '../output/print.ts';
import { printEnded } from '../output/print-ended.ts';
import { historyText, tasksText, taskText } from '../output/task-text.ts';
import { waitForEnd } from '../wait.ts';
import { submit } from './task-submit.ts';

const oneId = { parse: String, placeholder: 'id', brief: 'Id of a task' } as const;

const get = buildCommand<CallFlags, [string], CliContext>({
  async func(flags, id) {
    const { client } = await this.connect(flags);
    const task = await client.get(id);
    printOne(this.screen, flags.output, task, (one) => taskText(this.screen.colors, one, new Date()));
  },
  parameters: { flags: callFlags, aliases: callAliases, positional: { kind: 'tuple', parameters: [oneId] } },
  docs: { brief: 'Show a task with its payloads' },
});

const states = [
  'BLOCKED',
  'PENDING',
  'RUNNING',
  'SUCCEEDED',
  'FAILED',
  'CANCELLED',
  'SKIPPED',
] as const satisfies TaskState[];

interface ListFlags extends CallFlags {
  readonly type?: readonly string[];
  readonly state?: readonly (typeof states)[number][];
  readonly label?: readonly Label[];
  readonly limit: number;
}

const list = buildCommand<ListFlags, [], CliContext>({
  async func({ type = [], state = [], label = [], limit, ...flags }) {
    const { client } = await this.connect(flags);
    const filter = { types: type, states: state, labels: Object.fromEntries(label) };
    const tasks = first(limit, client.list(filter, { pageSize: Math.min(limit, 1_000) }));
    await printMany(this.screen, flags.output, tasks, (all) => tasksText(this.screen.colors, all, new Date()));
  },
  parameters: {
    flags: {
      ...callFlags,
      type: { ...textFlag('name', 'Only tasks of this type; may be repeated'), variadic: true },
      state: {
        kind: 'parsed',
        parse: parseState,
        optional: true,
        variadic: ',',
        placeholder: 'state',
        brief: `Only tasks in these states (${states.join(', ').toLowerCase()}); may be repeated`,
        proposeCompletions: (partial) =>
          states.map((name) => name.toLowerCase()).filter((name) => name.startsWith(partial)),
      },
      label: labelsFlag('Only tasks with this label; may be repeated'),
      limit: {
        kind: 'parsed',
        parse: integerParser(1, 1_000_000),
        default: '50',
        placeholder: 'n',
        brief: 'At most this many',
      },
    },
    aliases: { ...callAliases, t: 'type', s: 'state', l: 'label', n: 'limit' },
  },
  docs: { brief: 'List tasks, newest first' },
});

const awaitCommand = buildCommand<CallFlags & { readonly timeout?: number }, string[], CliContext>({
  async func({ timeout, ...flags }, ...ids) {
    const { client } = await this.connect(flags);
    const wait = {
      ids,
      timeoutMs: timeout,
      withPayloads: ids.length === 1 || flags.output !== 'table',
      signal: this.interrupted,
    };
    const tasks = await waitForEnd({ client, screen: this.screen }, wait);
    await printEnded(this.screen, flags.output, tasks);
  },
  parameters: {
    flags: { ...callFlags, timeout: durationFlag('Give up waiting after this long; the tasks go on') },
    aliases: callAliases,
    positional: { kind: 'array', parameter: oneId, minimum: 1 },
  },
  docs: {
    brief: 'Wait until tasks have ended',
    fullDescription:
      'Waits until all the tasks have ended and prints them. Exits with 1 when one of them FAILED or was CANCELLED.',
  },
});

const history = buildCommand<CallFlags, [string], CliContext>({
  async func(flags, id) {
    const { client } = await this.connect(flags);
    const events = await client.history(id);
    await printMany(this.screen, flags.output, events, (all) => historyText(this.screen.colors, all));
  },
  parameters: { flags: callFlags, aliases: callAliases, positional: { kind: 'tuple', parameters: [oneId] } },
  docs: { brief: 'Show everything that happened to a task' },
});

interface CancelFlags extends CallFlags {
  readonly reason?: string;
  readonly grace?: number;
}

const cancel = buildCommand<CancelFlags, string[], CliContext>({
  async func({ reason, grace, ...flags }, ...ids) {
    const { client } = await this.connect(flags);
    const tasks: Task[] = [];
    for (const id of ids) tasks.push(await client.cancel(id, { reason, graceMs: grace }));
    await printMany(this.screen, flags.output, tasks, (all) => tasksText(this.screen.colors, all, new Date()));
  },
  parameters: {
    flags: {
      ...callFlags,
      reason: textFlag('text', 'For the history and the worker'),
      grace: durationFlag('How long the worker of a running task has to stop'),
    },
    aliases: callAliases,
    positional: { kind: 'array', parameter: oneId, minimum: 1 },
  },
  docs: { brief: 'Cancel tasks; a running one is asked to stop' },
});

/** `dstc task …` */
export const taskCommands = buildRouteMap({
  routes: { submit, get, list, await: awaitCommand, history, cancel },
  docs: { brief: 'Tasks: submit, watch and cancel work' },
});

async function* first<T>(limit: number, things: AsyncIterable<T>): AsyncGenerator<T> {
  let left = limit;
  for await (const thing of things) {
    yield thing;
    left -= 1;
    if (left === 0) return;
  }
}

function parseState(written: string): (typeof states)[number] {
  const state = states.find((name) => name === written.toUpperCase());
  if (state === undefined) throw new Error(`"${written}" is no state; there are ${states.join(', ').toLowerCase()}`);
  return state;
}
