import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import type { ProgramEnd } from './exit-status.ts';
import { keepLastLines } from './last-lines.ts';

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  /** On top of this process's environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: Uint8Array;
  /** A program that writes more is stopped. */
  readonly stdoutBytesMax: number;
  /** Undefined lets it run for as long as it likes. */
  readonly timeoutMs: number | undefined;
  /** How long it has between SIGTERM and SIGKILL. */
  readonly graceMs: number;
  /** Called with each line of stderr. */
  readonly onLine: (line: string) => void;
}

export interface ProgramResult {
  readonly end: ProgramEnd;
  readonly stdout: Buffer;
  readonly stdoutOverflowed: boolean;
  /** The last lines of stderr. */
  readonly stderrTail: string;
}

/** Kills each program that runs at present: for a process that has to end before they have. */
export type Running = Set<() => void>;

/** Lines of stderr that go into an error message. */
const tailLines = 10;
/** How long the pipes may stay open after the program has ended, held by something that it left behind. */
const pipesOpenMs = 1_000;

/**
 * Runs a program to its end. When the signal is aborted the program gets SIGTERM, after the grace SIGKILL, and the call
 * rejects with the signal's reason once it is gone. Rejects with the system's error when the program cannot be started.
 */
export async function runProgram(program: Program, signal: AbortSignal, running: Running): Promise<ProgramResult> {
  signal.throwIfAborted();
  // A process group of its own: a Ctrl-C in the terminal is for the worker, and a stop reaches what the program started.
  const child = spawn(program.command, program.args, {
    detached: process.platform !== 'win32',
    env: { ...process.env, ...program.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const stop = stopper(child, program.graceMs);
  const ended = endOf(child, stop.kill);
  running.add(stop.kill);

  let timedOut = false;
  const timer = program.timeoutMs === undefined ? undefined : setTimeout(onTimeout, program.timeoutMs);
  function onTimeout(): void {
    timedOut = true;
    stop.politely();
  }
  signal.addEventListener('abort', stop.politely, { once: true });

  // A program need not read its input.
  child.stdin.on('error', () => undefined);
  child.stdin.end(program.stdin);
  const stdout = collect(child.stdout, program.stdoutBytesMax, stop.politely);
  const stderr = keepLastLines(tailLines);
  child.stderr.setEncoding('utf8').on('data', (piece: string) => stderr.push(piece).forEach(program.onLine));

  try {
    const end = await ended;
    signal.throwIfAborted();
    return {
      end: timedOut && program.timeoutMs !== undefined ? { kind: 'timed-out', afterMs: program.timeoutMs } : end,
      stdout: Buffer.concat(stdout.pieces),
      stdoutOverflowed: stdout.overflowed,
      stderrTail: stderr.text(),
    };
  } finally {
    clearTimeout(timer);
    stop.done();
    running.delete(stop.kill);
    signal.removeEventListener('abort', stop.politely);
  }
}

function stopper(child: ChildProcess, graceMs: number) {
  let force: NodeJS.Timeout | undefined;
  const send = (name: NodeJS.Signals) => {
    if (child.pid === undefined) return;
    try {
      if (process.platform === 'win32') child.kill(name);
      else process.kill(-child.pid, name);
    } catch (error) {
      // Nothing of the group is left.
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  };
  return {
    politely() {
      if (force !== undefined) return;
      send('SIGTERM');
      force = setTimeout(() => send('SIGKILL'), graceMs);
    },
    kill: () => send('SIGKILL'),
    done: () => clearTimeout(force),
  };
}

/** Resolves when the program has ended and its pipes are read to their end. */
function endOf(child: ChildProcess, killGroup: () => void): Promise<ProgramEnd> {
  return new Promise((resolve, reject) => {
    let pipes: NodeJS.Timeout | undefined;
    child.once('error', reject);
    child.once('exit', () => {
      // What it left running in its group goes with it; what left the group must not keep the attempt open.
      killGroup();
      pipes = setTimeout(() => [child.stdout, child.stderr].forEach((pipe) => void pipe?.destroy()), pipesOpenMs);
    });
    child.once('close', (status, name) => {
      clearTimeout(pipes);
      resolve(name === null ? { kind: 'exited', status: status ?? 0 } : { kind: 'killed', signal: name });
    });
  });
}

function collect(stream: Readable, bytesMax: number, onOverflow: () => void) {
  const collected = { pieces: [] as Buffer[], overflowed: false };
  let bytes = 0;
  stream.on('data', (piece: Buffer) => {
    if (collected.overflowed) return;
    bytes += piece.length;
    if (bytes <= bytesMax) {
      collected.pieces.push(piece);
      return;
    }
    collected.overflowed = true;
    onOverflow();
  });
  return collected;
}
