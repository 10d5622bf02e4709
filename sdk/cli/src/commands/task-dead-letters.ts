import type { DeadLetterGroup } from '@dstc/sdk';
import { buildCommand } from '@stricli/core';
import type { CliContext } from '../context.ts';
import { type FilterFlags, filterAliases, filterFlags, filterOfFlags } from '../filter-flags.ts';
import { type CallFlags, callAliases, callFlags } from '../flags.ts';
import { printMany } from '../output/print.ts';
import type { Painted } from '../output/shown.ts';
import { formatTable } from '../output/table.ts';
import { ageText } from '../output/task-text.ts';

/** `dstc task dead-letters` */
export const deadLetters = buildCommand<CallFlags & FilterFlags, [], CliContext>({
  async func(flags) {
    const { client } = await this.connect(flags);
    const { groups, complete } = await client.deadLetters(filterOfFlags(flags));
    await printMany(this.screen, flags.output, groups, (all) => groupsText(all, new Date()));
    if (!complete) this.screen.err('there are more: only the newest 10,000 were counted');
  },
  parameters: { flags: { ...callFlags, ...filterFlags }, aliases: { ...callAliases, ...filterAliases } },
  docs: {
    brief: 'Group dead letters by what they failed with',
    fullDescription: `Groups tasks that have failed and were not discarded by their cause, the largest group first.

  dstc task list --dead-letters --fingerprint DIGITS    list those of a group
  dstc task redrive --fingerprint DIGITS --rate 50      put them back in the queue
  dstc task discard --fingerprint DIGITS --reason …     give them up`,
  },
});

function groupsText(groups: readonly DeadLetterGroup[], now: Date): Painted {
  return formatTable(
    [
      { title: 'count', value: (group: DeadLetterGroup) => String(group.count) },
      { title: 'type', value: (group: DeadLetterGroup) => group.type },
      { title: 'code', value: (group: DeadLetterGroup) => group.errorCode },
      { title: 'fingerprint', value: (group: DeadLetterGroup) => group.errorFingerprint },
      { title: 'last', value: (group: DeadLetterGroup) => ageText(group.lastFailedTime, now) },
      { title: 'message', value: (group: DeadLetterGroup) => group.message.split('\n')[0] ?? '' },
    ],
    groups,
  );
}
