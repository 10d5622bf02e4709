import { buildCommand, buildRouteMap } from '@stricli/core';
import type { CliContext } from '../context.ts';
import { type CallFlags, callAliases, callFlags } from '../flags.ts';
import { printMany, printOne } from '../output/print.ts';
import { webhooksText, webhookText } from '../output/webhook-text.ts';
import { readText } from '../text-file.ts';
import { parseWebhookFile, type WebhookFile } from '../webhook-file.ts';
import { deleteCommand, disable, enable, rotate, test } from './webhook-control.ts';
import { deliveries, replay } from './webhook-deliveries.ts';

type FileFlags = CallFlags & { readonly file: string };
const fileParameters = {
  flags: {
    ...callFlags,
    file: { kind: 'parsed', parse: String, placeholder: 'file', brief: 'YAML or JSON of a webhook; - reads stdin' },
  },
  aliases: { ...callAliases, f: 'file' },
} as const;
const oneId = { parse: String, placeholder: 'id', brief: 'Id of a webhook' } as const;

async function read(context: CliContext, file: string): Promise<WebhookFile> {
  return parseWebhookFile(file, await readText(context.process.stdin, file));
}

const create = buildCommand<FileFlags, [], CliContext>({
  async func({ file, ...flags }) {
    const { etag: _, ...definition } = await read(this, file);
    const { client } = await this.connect(flags);
    const made = await client.webhooks.create(definition);
    printOne(this.screen, flags.output, made, webhookText);
    this.screen.err('keep the secret: it is not shown again');
  },
  parameters: fileParameters,
  docs: {
    brief: 'Send events to an HTTP endpoint',
    fullDescription: `Creates the webhook of a file and prints its secret. All but the URL may be left out:

  url: https://hooks.example.com/dstc
  description: Failures for the on-call team.
  filter:
    types: [dstc.task.failed.v1]                    # or what types begin with: dstc.task.*
    taskTypes: [email.send]
    labels: { tenant: acme }                        # or { in: [a, b] }, { notIn: [c] }, { exists: true }
  headers: { x-team: ops }
  secretHeaders: { authorization: Bearer … }        # never shown again
  format: { slack: {} }                             # one of the following; left out, signed CloudEvents
    # githubIssue:    { labels: [dstc], assignees: [octocat], keepOpen: false }
    # jiraIssue:      { project: OPS, issueType: Bug, labels: [dstc], doneTransition: "31", reopenTransition: "11" }
    # githubActions:  { workflow: repair.yml, ref: main, inputs: { task: "{task_id}" } }
    # gitlabPipeline: { ref: main, token: …, variables: { TASK: "{task_id}" } }
    # slack: {}
    # teams: {}`,
  },
});

const update = buildCommand<FileFlags, [string], CliContext>({
  async func({ file, ...flags }, id) {
    const definition = await read(this, file);
    const { client } = await this.connect(flags);
    printOne(this.screen, flags.output, await client.webhooks.update(id, definition), webhookText);
  },
  parameters: { ...fileParameters, positional: { kind: 'tuple', parameters: [oneId] } },
  docs: {
    brief: 'Replace what is set of a webhook',
    fullDescription: `Replaces everything that is set of a webhook by what is in a file. Secrets that are empty there stay as they are, so that
what "dstc webhook get ID -o json" prints can be changed and sent back; its etag sees to it that nobody else changed it meanwhile.`,
  },
});

const get = buildCommand<CallFlags, [string], CliContext>({
  async func(flags, id) {
    const { client } = await this.connect(flags);
    printOne(this.screen, flags.output, await client.webhooks.get(id), webhookText);
  },
  parameters: { flags: callFlags, aliases: callAliases, positional: { kind: 'tuple', parameters: [oneId] } },
  docs: { brief: 'Show a webhook and how it fares' },
});

const list = buildCommand<CallFlags, [], CliContext>({
  async func(flags) {
    const { client } = await this.connect(flags);
    await printMany(this.screen, flags.output, client.webhooks.list(), webhooksText);
  },
  parameters: { flags: callFlags, aliases: callAliases },
  docs: { brief: 'List webhooks, oldest first' },
});

/** `dstc webhook …` */
export const webhookCommands = buildRouteMap({
  routes: { create, get, list, update, enable, disable, rotate, test, deliveries, replay, delete: deleteCommand },
  docs: { brief: 'Webhooks: events sent to HTTP endpoints, trackers, pipelines and chats' },
});
