import type { PauseOptions, TaskType, TaskTypes } from '@dstc/sdk';
import { buildCommand } from '@stricli/core';
import type { CliContext } from '../context.ts';
import { type CallFlags, callAliases, callFlags, textFlag } from '../flags.ts';
import { printMany, printOne } from '../output/print.ts';
import { typesText, typeText } from '../output/type-text.ts';

type ReasonFlags = CallFlags & { readonly reason?: string };
const reasonFlags = { ...callFlags, reason: textFlag('text', 'For those who wonder, and for the log') };

export const pause = forEachName(
  (types, name, options) => types.pause(name, options),
  'Lease no more of their tasks; submissions are taken and what runs goes on',
);

export const resume = forEachName((types, name, options) => types.resume(name, options), 'End the pause of task types');

const modes = { auto: 'AUTOMATIC', open: 'FORCED_OPEN', closed: 'FORCED_CLOSED' } as const;
type ModeName = keyof typeof modes;

export const circuit = buildCommand<ReasonFlags, [string, ModeName], CliContext>({
  async func({ reason, ...flags }, name, mode) {
    const { client } = await this.connect(flags);
    const changed = await client.types.setCircuit(name, modes[mode], { reason });
    printOne(this.screen, flags.output, changed, typeText);
  },
  parameters: {
    flags: reasonFlags,
    aliases: callAliases,
    positional: {
      kind: 'tuple',
      parameters: [
        { parse: String, placeholder: 'name', brief: 'Name of the task type' },
        { parse: parseMode, placeholder: 'open|closed|auto', brief: 'What is to be' },
      ],
    },
  },
  docs: {
    brief: 'Open or close the circuit of a task type by hand',
    fullDescription: `Opens or closes the circuit of a task type by hand.

  open     lease none of its tasks until the circuit is set again
  closed   lease its tasks whatever happens
  auto     leave it to the breaker, beginning with a closed circuit: also to close one that has opened, once the cause is gone`,
  },
});

export const deleteCommand = buildCommand<CallFlags & { readonly etag?: string }, [string], CliContext>({
  async func({ etag, ...flags }, name) {
    const { client } = await this.connect(flags);
    await client.types.delete(name, { etag });
    this.screen.err(`deleted ${name}; its ended tasks are kept as long as its retention says`);
  },
  parameters: {
    flags: { ...callFlags, etag: textFlag('etag', 'Delete just the version that was read') },
    aliases: callAliases,
    positional: { kind: 'tuple', parameters: [{ parse: String, placeholder: 'name', brief: 'Name of the task type' }] },
  },
  docs: { brief: 'Delete a task type that has no unfinished tasks' },
});

function parseMode(written: string): ModeName {
  if (isMode(written)) return written;
  throw new Error(`"${written}" is no state of a circuit: write ${Object.keys(modes).join(', ')}`);
}

function isMode(written: string): written is ModeName {
  return Object.hasOwn(modes, written);
}

function forEachName(
  change: (types: TaskTypes, name: string, options: PauseOptions) => Promise<TaskType>,
  brief: string,
) {
  return buildCommand<ReasonFlags, string[], CliContext>({
    async func({ reason, ...flags }, ...names) {
      const { client } = await this.connect(flags);
      const changed: TaskType[] = [];
      for (const name of names) changed.push(await change(client.types, name, { reason }));
      await printMany(this.screen, flags.output, changed, typesText);
    },
    parameters: {
      flags: reasonFlags,
      aliases: callAliases,
      positional: {
        kind: 'array',
        minimum: 1,
        parameter: { parse: String, placeholder: 'name', brief: 'Name of the task type' },
      },
    },
    docs: { brief },
  });
}
