import type { TaskType } from '@dstc/sdk';
import { buildCommand, buildRouteMap } from '@stricli/core';
import type { CliContext } from '../context.ts';
import { type CallFlags, callAliases, callFlags } from '../flags.ts';
import { printMany, printOne } from '../output/print.ts';
import { typesText, typeText } from '../output/type-text.ts';
import { readText } from '../text-file.ts';
import { parseTypeFile } from '../type-file.ts';
import { circuit, deleteCommand, pause, resume } from './type-control.ts';

const apply = buildCommand<CallFlags & { readonly file: string }, [], CliContext>({
  async func({ file, ...flags }) {
    const definitions = parseTypeFile(file, await readText(this.process.stdin, file));
    const { client } = await this.connect(flags);
    const applied: TaskType[] = [];
    for (const definition of definitions) applied.push(await client.types.apply(definition));
    await printMany(this.screen, flags.output, applied, typesText);
  },
  parameters: {
    flags: {
      ...callFlags,
      file: {
        kind: 'parsed',
        parse: String,
        placeholder: 'file',
        brief: 'YAML or JSON with one task type or more; - reads stdin',
      },
    },
    aliases: { ...callAliases, f: 'file' },
  },
  docs: {
    brief: 'Create or replace task types',
    fullDescription: `Creates or replaces the task types of a file. A task type looks like this; all but the name may be left out:

  name: email.send
  description: Sends one email.
  inputSchema: { type: object, required: [to] }     # JSON Schema 2020-12
  outputSchema: { type: object }
  retry: { attemptsMax: 5, initialDelay: 1s, multiplier: 2, delayMax: 10m, nonRetryableCodes: [BAD_ADDRESS] }
  deadlines: { start: 1h, delivery: 3s, heartbeat: 10s, run: 30s, total: 2h }
  limits:                                           # over all workers and nodes
    key: { label: tenant }                          # or { inputPointer: /customer/id }: tasks of different keys take turns
    concurrencyMax: 20                              # tasks that may run at the same time, and of one key:
    concurrencyPerKeyMax: 2
    rate: { tasks: 100, interval: 1s, burst: 20 }   # tasks given out; ratePerKey for one key
    queueMax: 10000                                 # tasks that may wait
  priority: 4                                       # 0 to 9
  retention: 30d
  circuitBreaker: { failureRatio: 0.5, attemptsMin: 20, window: 1m, open: 30s, probes: 1 }
  etag: …                                           # set to replace just the version that was read`,
  },
});

const get = buildCommand<CallFlags, [string], CliContext>({
  async func(flags, name) {
    const { client } = await this.connect(flags);
    printOne(this.screen, flags.output, await client.types.get(name), typeText);
  },
  parameters: {
    flags: callFlags,
    aliases: callAliases,
    positional: { kind: 'tuple', parameters: [{ parse: String, placeholder: 'name', brief: 'Name of the task type' }] },
  },
  docs: { brief: 'Show a task type' },
});

const list = buildCommand<CallFlags, [], CliContext>({
  async func(flags) {
    const { client } = await this.connect(flags);
    await printMany(this.screen, flags.output, client.types.list(), typesText);
  },
  parameters: { flags: callFlags, aliases: callAliases },
  docs: { brief: 'List task types by name' },
});

/** `dstc type …` */
export const typeCommands = buildRouteMap({
  routes: { apply, get, list, pause, resume, circuit, delete: deleteCommand },
  docs: { brief: 'Task types: what tasks there are and how they are treated' },
});
