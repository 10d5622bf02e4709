// biome-ignore-all lint/suspicious/noTemplateCurlyInString: templates are what is explained.
import type { EventRule } from '@dstc/sdk';
import { buildCommand, buildRouteMap } from '@stricli/core';
import type { CliContext } from '../context.ts';
import { parseEventFile } from '../event-file.ts';
import { parseEventRuleFile } from '../event-rule-file.ts';
import { Exit, UsageError } from '../exit.ts';
import { type CallFlags, callAliases, callFlags, textFlag } from '../flags.ts';
import { eventRulesText, eventRuleTestText, eventRuleText } from '../output/event-rule-text.ts';
import { printMany, printOne } from '../output/print.ts';
import { nameOf, readText } from '../text-file.ts';

const name = { parse: String, placeholder: 'name', brief: 'Name of the rule' };

const apply = buildCommand<CallFlags & { readonly file: string }, [], CliContext>({
  async func({ file, ...flags }) {
    const definitions = parseEventRuleFile(file, await readText(this.process.stdin, file));
    const { client } = await this.connect(flags);
    const applied: EventRule[] = [];
    for (const definition of definitions) applied.push(await client.eventRules.apply(definition));
    await printMany(this.screen, flags.output, applied, eventRulesText);
  },
  parameters: {
    flags: {
      ...callFlags,
      file: {
        kind: 'parsed',
        parse: String,
        placeholder: 'file',
        brief: 'YAML or JSON with one rule or more; - reads stdin',
      },
    },
    aliases: { ...callAliases, f: 'file' },
  },
  docs: {
    brief: 'Create or replace event rules',
    fullDescription: `Creates or replaces the event rules of a file. A rule looks like this; all but the name and the two types may be left out:

  name: orders.invoice
  description: An invoice for every order.
  eventType: com.example.order.placed       # or com.example.order.* for all that begin like it
  eventSource: https://shop.example/*       # the same
  condition: event.data.total > 0.0         # CEL over event: its attributes, and data when that is JSON
  taskType: invoice.create
  input:                                    # a template; without one the event's data as it came
    order: \${event.data.id}
    note: Order \${event.data.id} of \${event.time}
  labels: { customer: '\${event.subject}' }
  priority: 4                               # 0 to 9
  delay: 10s
  etag: …                                   # set to replace just the version that was read`,
  },
});

const get = buildCommand<CallFlags, [string], CliContext>({
  async func(flags, rule) {
    const { client } = await this.connect(flags);
    printOne(this.screen, flags.output, await client.eventRules.get(rule), eventRuleText);
  },
  parameters: { flags: callFlags, aliases: callAliases, positional: { kind: 'tuple', parameters: [name] } },
  docs: { brief: 'Show an event rule' },
});

const list = buildCommand<CallFlags, [], CliContext>({
  async func(flags) {
    const { client } = await this.connect(flags);
    await printMany(this.screen, flags.output, client.eventRules.list(), eventRulesText);
  },
  parameters: { flags: callFlags, aliases: callAliases },
  docs: { brief: 'List event rules by name' },
});

const deleteRule = buildCommand<CallFlags & { readonly etag?: string }, [string], CliContext>({
  async func({ etag, ...flags }, rule) {
    const { client } = await this.connect(flags);
    await client.eventRules.delete(rule, { etag });
    this.screen.err(`deleted ${rule}`);
  },
  parameters: {
    flags: { ...callFlags, etag: textFlag('etag', 'Delete just the version that was read') },
    aliases: callAliases,
    positional: { kind: 'tuple', parameters: [name] },
  },
  docs: { brief: 'Delete an event rule' },
});

interface TestFlags extends CallFlags {
  readonly file?: string;
  readonly event: string;
}

const test = buildCommand<TestFlags, [string?], CliContext>({
  async func({ file, event, ...flags }, rule) {
    if ((file === undefined) === (rule === undefined)) {
      throw new UsageError('name a rule that is there, or a file with one: --file');
    }
    const [definition, ...more] =
      file === undefined ? [] : parseEventRuleFile(file, await readText(this.process.stdin, file));
    if (more.length > 0) throw new UsageError(`${file} has more than one rule`);
    const [sample, ...others] = parseEventFile(nameOf(event), await readText(this.process.stdin, event));
    if (sample === undefined || others.length > 0) throw new UsageError('give one event');
    const { client } = await this.connect(flags);
    const tested = await client.eventRules.test(definition ?? rule ?? '', sample);
    printOne(this.screen, flags.output, tested, eventRuleTestText);
    if (tested.error !== undefined) throw new Exit(1);
  },
  parameters: {
    flags: {
      ...callFlags,
      file: textFlag('file', 'YAML or JSON with a rule to be, instead of the name of one'),
      event: {
        kind: 'parsed',
        parse: String,
        placeholder: 'file',
        brief: 'An event in the JSON format of CloudEvents; - reads stdin',
      },
    },
    aliases: { ...callAliases, f: 'file', e: 'event' },
    positional: { kind: 'tuple', parameters: [{ ...name, optional: true }] },
  },
  docs: { brief: 'Show what a rule would make of an event; nothing is submitted' },
});

/** `dstc event-rule …` */
export const eventRuleCommands = buildRouteMap({
  routes: { apply, get, list, test, delete: deleteRule },
  docs: { brief: 'Rules by which events from elsewhere become tasks' },
});
