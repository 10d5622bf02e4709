import type { Namespace, Namespaces, PauseOptions } from '@dstc/sdk';
import { buildCommand, buildRouteMap } from '@stricli/core';
import type { CliContext } from '../context.ts';
import { type CallFlags, callAliases, callFlags, textFlag } from '../flags.ts';
import { pauseText } from '../output/pause-text.ts';
import { printOne } from '../output/print.ts';
import type { Painted } from '../output/shown.ts';
import { formatFields } from '../output/table.ts';

const get = buildCommand<CallFlags, [], CliContext>({
  async func(flags) {
    const { client } = await this.connect(flags);
    printOne(this.screen, flags.output, await client.namespaces.get(), namespaceText);
  },
  parameters: { flags: callFlags, aliases: callAliases },
  docs: { brief: 'Show whether the namespace is paused' },
});

/** `dstc namespace …` */
export const namespaceCommands = buildRouteMap({
  routes: {
    get,
    pause: change(
      (namespaces, options) => namespaces.pause(options),
      'Lease no more tasks of any type in the namespace; submissions are taken and what runs goes on',
    ),
    resume: change((namespaces, options) => namespaces.resume(options), 'End the pause of the namespace'),
  },
  docs: { brief: 'A namespace as a whole: stop and restart all its work' },
});

function change(command: (namespaces: Namespaces, options: PauseOptions) => Promise<Namespace>, brief: string) {
  return buildCommand<CallFlags & { readonly reason?: string }, [], CliContext>({
    async func({ reason, ...flags }) {
      const { client } = await this.connect(flags);
      printOne(this.screen, flags.output, await command(client.namespaces, { reason }), namespaceText);
    },
    parameters: {
      flags: { ...callFlags, reason: textFlag('text', 'For those who wonder, and for the log') },
      aliases: callAliases,
    },
    docs: { brief },
  });
}

function namespaceText({ namespace, pause }: Namespace): Painted {
  return formatFields([
    ['namespace', namespace],
    ['paused', pauseText(pause) ?? 'no'],
  ]);
}
