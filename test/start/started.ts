import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../setup/free-port.ts';

const entry = fileURLToPath(new URL('../../server/dev.ts', import.meta.url));

/** A start of everything that runs. */
export interface Started {
  readonly child: ChildProcess;
  /** Resolves with what it has written so far when the pattern is in it; rejects when it ends without. */
  seen(pattern: RegExp): Promise<string>;
  /** Resolves with status and everything written when it has ended. */
  readonly ended: Promise<{ readonly status: number | null; readonly text: string }>;
}

/** Ports that were free a moment ago, for the environment of a start. */
export async function freePorts(): Promise<Record<string, string>> {
  const [grpc, http, issuer, postgres, nats] = await Promise.all(Array.from({ length: 5 }, freePort));
  return {
    DSTC_GRPC_ADDRESS: `127.0.0.1:${grpc}`,
    DSTC_HTTP_ADDRESS: `127.0.0.1:${http}`,
    DSTC_ISSUER_PORT: String(issuer),
    DSTC_POSTGRES_PORT: String(postgres),
    DSTC_NATS_PORT: String(nats),
  };
}

/** Runs the real entry, as `npm start` does, with data of its own. */
export function startDev(args: readonly string[], env: Readonly<Record<string, string>>): Started {
  const flags = ['--conditions=dstc-source', '--disable-warning=ExperimentalWarning'];
  const child = spawn(process.execPath, [...flags, entry, ...args], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      child.emit('written');
    });
  }
  const ended = once(child, 'close').then(([status]: (number | null)[]) => ({ status: status ?? null, text }));
  return {
    child,
    ended,
    async seen(pattern) {
      while (!pattern.test(text)) {
        const over = await Promise.race([once(child, 'written').then(() => false), ended.then(() => true)]);
        if (over && !pattern.test(text)) throw new Error(`the start ended without ${pattern}:\n${text}`);
      }
      return text;
    },
  };
}

/** The processes that a start with this folder has left, by their command lines and where they log to. */
export async function processesOf(folder: string): Promise<readonly string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const described = await Promise.all(pids.map(describe));
  return described.filter((text) => text.includes(folder));
}

async function describe(pid: string): Promise<string> {
  // Processes come and go, and a zombie has neither.
  const read = (name: string) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '');
  const [command, environment] = await Promise.all([read('cmdline'), read('environ')]);
  return `${pid} ${command} ${environment}`.replaceAll('\0', ' ');
}
