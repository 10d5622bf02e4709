import type { WebhookReplay } from '@dstc/sdk';
import { buildCommand } from '@stricli/core';
import type { CliContext } from '../context.ts';
import { UsageError } from '../exit.ts';
import { first } from '../first.ts';
import { type CallFlags, callAliases, callFlags, integerParser, textFlag } from '../flags.ts';
import { printMany, printOne } from '../output/print.ts';
import { deliveriesText } from '../output/webhook-text.ts';
import { parseTime } from '../time.ts';

const positional = {
  kind: 'tuple',
  parameters: [{ parse: String, placeholder: 'id', brief: 'Id of a webhook' }],
} as const;

const states = { pending: 'PENDING', succeeded: 'SUCCEEDED', 'dead-letter': 'DEAD_LETTER' } as const;
type StateName = keyof typeof states;

interface DeliveriesFlags extends CallFlags {
  readonly state?: readonly StateName[];
  readonly limit: number;
}

export const deliveries = buildCommand<DeliveriesFlags, [string], CliContext>({
  async func({ state = [], limit, ...flags }, id) {
    const { client } = await this.connect(flags);
    const found = client.webhooks.deliveries(id, { states: state.map((name) => states[name]) });
    await printMany(this.screen, flags.output, first(limit, found), (all) => deliveriesText(all, new Date()));
  },
  parameters: {
    flags: {
      ...callFlags,
      state: {
        kind: 'enum',
        values: Object.keys(states) as StateName[],
        optional: true,
        variadic: true,
        brief: 'Only those in this state; may be repeated',
      },
      limit: {
        kind: 'parsed',
        parse: integerParser(1, 1_000_000),
        default: '50',
        placeholder: 'n',
        brief: 'At most this many',
      },
    },
    aliases: { ...callAliases, n: 'limit' },
    positional,
  },
  docs: { brief: 'List what was sent to a webhook, newest first, and what became of it' },
});

interface ReplayFlags extends CallFlags {
  readonly event?: string;
  readonly deadLetters?: boolean;
  readonly since?: Date;
}

export const replay = buildCommand<ReplayFlags, [string], CliContext>({
  async func({ event, deadLetters, since, ...flags }, id) {
    const wanted: WebhookReplay[] = [
      ...(event === undefined ? [] : [{ eventId: event }]),
      ...(deadLetters ? [{ deadLetters } as const] : []),
      ...(since === undefined ? [] : [{ since }]),
    ];
    const [which] = wanted;
    if (which === undefined || wanted.length > 1) {
      throw new UsageError('say what to send again: --event, --dead-letters or --since');
    }
    const { client } = await this.connect(flags);
    const replayed = await client.webhooks.replay(id, which);
    printOne(this.screen, flags.output, { replayed }, () => `${replayed} will be sent again`);
  },
  parameters: {
    flags: {
      ...callFlags,
      event: textFlag('id', 'The delivery of this event, whatever became of it'),
      deadLetters: { kind: 'boolean', optional: true, withNegated: false, brief: 'Everything that was given up' },
      since: {
        kind: 'parsed',
        parse: (written: string) => parseTime(written),
        optional: true,
        placeholder: '2h',
        brief: 'Everything that ended and was made since then, as far as it is kept',
      },
    },
    aliases: callAliases,
    positional,
  },
  docs: { brief: 'Send again what a webhook was sent before, or was not' },
});
