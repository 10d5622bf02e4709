import type { PauseOptions, TaskType, TaskTypes } from '@dstc/sdk';
import { buildCommand } from '@stricli/core';
import type { CliContext } from '../context.ts';
import { type CallFlags, callAliases, callFlags, textFlag } from '../flags.ts';
import { printMany } from '../output/print.ts';
import { typesText } from '../output/type-text.ts';

type ReasonFlags = CallFlags & { readonly reason?: string };

export const pause = forEachName(
  (types, name, options) => types.pause(name, options),
  'Lease no more of their tasks; submissions are taken and what runs goes on',
);

export const resume = forEachName((types, name, options) => types.resume(name, options), 'End the pause of task types');

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
      flags: { ...callFlags, reason: textFlag('text', 'For those who wonder, and for the log') },
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
