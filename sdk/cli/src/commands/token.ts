import type { DevClient } from '@dstc/sdk';
import { buildCommand } from '@stricli/core';
import type { ConnectionFlags } from '../connection.ts';
import type { CliContext } from '../context.ts';
import { connectionFlags } from '../flags.ts';

interface TokenFlags extends ConnectionFlags {
  readonly client: DevClient;
}

const clients = ['producer', 'worker', 'operator'] as const satisfies DevClient[];

/** `dstc token` */
export const token = buildCommand<TokenFlags, [], CliContext>({
  async func({ client, ...flags }) {
    const { credentials } = await this.target(flags, client);
    this.screen.out(await credentials.token());
  },
  parameters: {
    flags: {
      ...connectionFlags,
      client: {
        kind: 'enum',
        values: clients,
        default: 'operator',
        brief: 'Who to be in an embedded start; elsewhere the login or the environment says',
      },
    },
  },
  docs: {
    brief: 'Print an access token, for curl and the like',
    fullDescription: `Prints an access token for programs that cannot get one themselves, and nothing else:

  curl -H "authorization: Bearer $(dstc token)" …

It is the token that the other commands use, and it is good for some minutes. Whoever sees it can act as you meanwhile.`,
  },
});
