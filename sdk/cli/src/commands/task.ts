import { buildCommand, buildRouteMap } from '@stricli/core';
import type { CliContext } from '../context.ts';
import { type FilterFlags, filterAliases, filterFlags, filterOfFlags } from '../filter-flags.ts';
import { first } from '../first.ts';
import { type CallFlags, callAliases, callFlags, durationFlag, integerParser } from '../flags.ts';
import { printMany, printOne } from '../output/print.ts';
import { printEnded } from '../output/print-ended.ts';
import { historyText, tasksText, taskText } from '../output/task-text.ts';
import { waitForEnd } from '../wait.ts';
import { cancel, discard, pause, redrive, resume, skip } from './task-control.ts';
import { deadLetters } from './task-dead-letters.ts';
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

interface ListFlags extends CallFlags, FilterFlags {
  readonly limit: number;
}

const list = buildCommand<ListFlags, [], CliContext>({
  async func({ limit, ...flags }) {
    const { client } = await this.connect(flags);
    const tasks = first(limit, client.list(filterOfFlags(flags), { pageSize: Math.min(limit, 1_000) }));
    await printMany(this.screen, flags.output, tasks, (all) => tasksText(this.screen.colors, all, new Date()));
  },
  parameters: {
    flags: {
      ...callFlags,
      ...filterFlags,
      limit: {
        kind: 'parsed',
        parse: integerParser(1, 1_000_000),
        default: '50',
        placeholder: 'n',
        brief: 'At most this many',
      },
    },
    aliases: { ...callAliases, ...filterAliases, n: 'limit' },
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

/** `dstc task …` */
export const taskCommands = buildRouteMap({
  routes: {
    submit,
    get,
    list,
    await: awaitCommand,
    history,
    cancel,
    pause,
    resume,
    skip,
    redrive,
    discard,
    deadLetters,
  },
  docs: { brief: 'Tasks: submit, watch and steer work' },
});
