import { readFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';
import type { Client } from '@dstc/sdk';
import { ExitCode, run, type StricliProcess } from '@stricli/core';
import { createApplication } from './app.ts';
import { findTarget } from './connection.ts';
import type { CliContext } from './context.ts';
import { createInterruption } from './interruption.ts';
import { screenOf, wantsColors } from './output/screen.ts';
import { requireListener } from './reach.ts';

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // A reader that has seen enough, such as `head`, is no error.
    if (error.code === 'EPIPE') process.exit(0);
    // Where stderr is what cannot be written, nobody can be told.
    if (stream === process.stdout) process.stderr.write(`dstc: the output cannot be written: ${error.message}\n`);
    process.exit(1);
  });
}

const screen = screenOf(process);
const surroundings = { env: process.env, folder: process.cwd() };
const interrupted = createInterruption(process);
const clients: Client[] = [];

const streams: StricliProcess = {
  stdout: { write: (text) => process.stdout.write(text), getColorDepth: depthOf(process.stdout) },
  // A failure that needs no words comes as an empty line.
  stderr: {
    write: (text) => stripVTControlCharacters(text).trim() !== '' && process.stderr.write(text),
    getColorDepth: depthOf(process.stderr),
  },
};
const context: CliContext = {
  process: { ...streams, stdin: process.stdin, env: process.env, cwd: process.cwd },
  screen,
  get interrupted() {
    return interrupted();
  },
  target: (flags, devClient) => findTarget(surroundings, flags, devClient),
  async connect(flags) {
    const target = await findTarget(surroundings, flags, 'operator');
    await requireListener(process.env, target.address);
    const { createClient } = await import('@dstc/sdk');
    const client = createClient(target);
    clients.push(client);
    return { target, client };
  },
};

const application = createApplication({ version: versionOfPackage(), debug: Boolean(process.env.DSTC_DEBUG) });
await run(application, process.argv.slice(2), { process: streams, forCommand: () => context });
for (const client of clients) client.close();
process.exitCode = shellCode(streams.exitCode);

function depthOf({ isTTY }: NodeJS.WriteStream): () => number {
  return () => (wantsColors(isTTY, process.env) ? 8 : 1);
}

function versionOfPackage(): string {
  return String(JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version);
}

/** Stricli's own codes are negative, which no shell can show. */
function shellCode(code: StricliProcess['exitCode']): number {
  const number = Number(code ?? 0);
  if (number === ExitCode.InvalidArgument || number === ExitCode.UnknownCommand) return 2;
  return number < 0 ? 1 : number;
}
