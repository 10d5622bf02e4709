import type { DevClient } from '@dstc/sdk';
import type { CommandContext } from '@stricli/core';
import type { Connection, ConnectionFlags, Target } from './connection.ts';
import type { Screen } from './output/screen.ts';

/** What every command has at hand. */
export interface CliContext extends CommandContext {
  readonly process: CommandContext['process'] & Pick<NodeJS.Process, 'stdin' | 'env' | 'cwd'>;
  readonly screen: Screen;
  /** Finds out where the coordinator is and who is calling. */
  readonly target: (flags: ConnectionFlags, devClient: DevClient) => Promise<Target>;
  /** The same, with a client that is closed when the command ends. */
  readonly connect: (flags: ConnectionFlags) => Promise<Connection>;
  /** Aborted by the first Ctrl-C or SIGTERM; a second one ends the process at once. */
  readonly interrupted: AbortSignal;
}
