import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { buildCommand } from '@stricli/core';
import type { CliContext } from '../context.ts';

/** The server is no part of this package: it is run, with the Node that runs this, from the repository around it. */
const server = (file: string) => fileURLToPath(new URL(`../../../../server/${file}`, import.meta.url));

/** `dstc dev`, `dstc serve` and `dstc migrate` */
export const dev = buildCommand<{ readonly once?: boolean }, [], CliContext>({
  func: ({ once }) => runServer('dev', [server('dev.ts'), ...(once ? ['--once'] : [])]),
  parameters: {
    flags: {
      once: {
        kind: 'boolean',
        optional: true,
        withNegated: false,
        brief: 'End when the example tasks have: with 0 if they ended as expected',
      },
    },
  },
  docs: {
    brief: 'Start everything on this machine, with an embedded database and identity provider',
    fullDescription: `Starts a database, an identity provider, a coordinator, and the examples, like npm start. Keeps its data in .dstc/
of the repository and leaves there what other commands need to connect. Ctrl-C stops everything.`,
  },
});
export const serve = serverCommand({
  name: 'serve',
  command: [server('main.ts'), 'serve'],
  brief: 'Run one coordinator',
  description: 'Reads its settings from the environment: DATABASE_URL, the issuers to trust, and more; see the README.',
});
export const migrate = serverCommand({
  name: 'migrate',
  command: [server('main.ts'), 'migrate'],
  brief: 'Bring the database up to date',
  description: 'Reads DATABASE_URL. Safe to run while others run it and while coordinators are up.',
});

interface ServerCommand {
  readonly name: string;
  readonly command: readonly [file: string, ...args: string[]];
  readonly brief: string;
  readonly description: string;
}

function serverCommand({ name, command, brief, description }: ServerCommand) {
  return buildCommand<Record<never, never>, [], CliContext>({
    func: () => runServer(name, command),
    parameters: {},
    docs: { brief, fullDescription: `${brief}. ${description}` },
  });
}

async function runServer(name: string, command: readonly [file: string, ...args: string[]]): Promise<void> {
  if (!existsSync(command[0])) {
    throw new Error(`dstc ${name} needs a clone of the DSTC repository: run it there with npx dstc ${name}`);
  }
  // At once: while Node takes itself apart nothing catches signals any more, and one that comes late would turn an end in
  // order into another.
  process.exit(await runToEnd(process, command));
}

const passedOn = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs Node with our streams and signals, and resolves with its exit status. */
function runToEnd(parent: NodeJS.Process, args: readonly string[]): Promise<number> {
  const child = spawn(parent.execPath, [...parent.execArgv, ...args], {
    // The channel carries nothing: its end tells the server that this process died, even by a signal that nobody can catch.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  const pass = (signal: NodeJS.Signals) => {
    // A terminal's Ctrl-C reaches the whole process group, so the child has it already.
    if (signal === 'SIGINT' && parent.stdin.isTTY) return;
    child.kill(signal);
  };
  for (const signal of passedOn) parent.on(signal, pass);
  parent.once('disconnect', () => child.kill('SIGTERM'));
  // Listening on it would keep this process alive.
  parent.channel?.unref();
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (status, signal) => {
      resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
