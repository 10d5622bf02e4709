import type { Webhook, Webhooks } from '@dstc/sdk';
import { buildCommand } from '@stricli/core';
import type { CliContext } from '../context.ts';
import { Exit } from '../exit.ts';
import { type CallFlags, callAliases, callFlags, durationFlag, textFlag } from '../flags.ts';
import { printOne } from '../output/print.ts';
import { formatFields } from '../output/table.ts';
import { webhookText } from '../output/webhook-text.ts';

const positional = {
  kind: 'tuple',
  parameters: [{ parse: String, placeholder: 'id', brief: 'Id of a webhook' }],
} as const;

export const enable = change(
  (webhooks, webhook) => webhooks.update(webhook.id, { ...webhook, disabled: false }),
  'Send events again: what waits, and what happens from now on',
);

export const disable = change(
  (webhooks, webhook) => webhooks.update(webhook.id, { ...webhook, disabled: true }),
  'Send nothing; what waits is kept for a day, and what happens meanwhile is not sent later',
);

export const rotate = buildCommand<CallFlags & { readonly overlap?: number }, [string], CliContext>({
  async func({ overlap, ...flags }, id) {
    const { client } = await this.connect(flags);
    const rotated = await client.webhooks.rotateSecret(id, { overlapMs: overlap });
    printOne(this.screen, flags.output, rotated, ({ secret }) => secret);
    this.screen.err('keep the secret: it is not shown again');
  },
  parameters: {
    flags: { ...callFlags, overlap: durationFlag('How long requests carry a signature of the old secret, too; a day') },
    aliases: callAliases,
    positional,
  },
  docs: { brief: 'Give a webhook another secret' },
});

export const test = buildCommand<CallFlags, [string], CliContext>({
  async func(flags, id) {
    const { client } = await this.connect(flags);
    const result = await client.webhooks.test(id);
    printOne(this.screen, flags.output, result, ({ succeeded, responseStatus, durationMs, error, eventId }) =>
      formatFields([
        ['result', succeeded ? 'taken' : 'failed'],
        ['answer', responseStatus === undefined ? undefined : String(responseStatus)],
        ['took', `${durationMs} ms`],
        ['error', error || undefined],
        ['event', eventId],
      ]),
    );
    if (!result.succeeded) throw new Exit(1);
  },
  parameters: { flags: callFlags, aliases: callAliases, positional },
  docs: { brief: 'Send a webhook one event that says that it is a test' },
});

export const deleteCommand = buildCommand<CallFlags & { readonly etag?: string }, [string], CliContext>({
  async func({ etag, ...flags }, id) {
    const { client } = await this.connect(flags);
    await client.webhooks.delete(id, { etag });
    this.screen.err(`deleted ${id} with its deliveries`);
  },
  parameters: {
    flags: { ...callFlags, etag: textFlag('etag', 'Delete just the version that was read') },
    aliases: callAliases,
    positional,
  },
  docs: { brief: 'Delete a webhook with its deliveries' },
});

function change(command: (webhooks: Webhooks, webhook: Webhook) => Promise<Webhook>, brief: string) {
  return buildCommand<CallFlags, [string], CliContext>({
    async func(flags, id) {
      const { client } = await this.connect(flags);
      // With its etag, so that nothing that somebody else changes meanwhile is undone.
      const changed = await command(client.webhooks, await client.webhooks.get(id));
      printOne(this.screen, flags.output, changed, webhookText);
    },
    parameters: { flags: callFlags, aliases: callAliases, positional },
    docs: { brief },
  });
}
