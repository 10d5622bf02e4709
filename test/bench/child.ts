import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** A process of the benchmark that tells what it does in messages with a `kind`. */
export interface Child {
  readonly send: (message: unknown) => void;
  /** The next message of a kind; rejects when the process ends before. */
  readonly next: <Message extends { readonly kind: string }>(kind: Message['kind']) => Promise<Message>;
  readonly listen: (kind: string, listener: (message: { readonly kind: string }) => void) => void;
  /** Asks it to end, and waits until it has. */
  readonly stop: () => Promise<void>;
}

export interface ChildOptions {
  readonly file: URL;
  readonly args: readonly string[];
  readonly nodeFlags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Ends it, upon which whoever waits for a message of it hears that it has ended. */
  readonly interrupted: AbortSignal;
}

/** Starts a file of this repository; it inherits how this process resolves the workspace. */
export function startChild({ file, args, nodeFlags = [], env = {}, interrupted }: ChildOptions): Child {
  const child = fork(file, [...args], {
    execArgv: [...process.execArgv, ...nodeFlags],
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const exited = once(child, 'exit');
  const kill = () => void child.kill('SIGTERM');
  interrupted.addEventListener('abort', kill);
  void exited.then(() => interrupted.removeEventListener('abort', kill));
  if (interrupted.aborted) kill();

  return {
    // One that has handed in its result hears nothing more.
    send: (message) => void (child.connected && child.send(message as object, () => undefined)),
    next: (kind) => nextMessage(child, kind, `${file.pathname.split('/').at(-1)}`),
    listen(kind, listener) {
      child.on('message', (message: { readonly kind: string }) => {
        if (message.kind === kind) listener(message);
      });
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await exited;
    },
  };
}

function nextMessage<Message extends { readonly kind: string }>(
  child: ChildProcess,
  kind: Message['kind'],
  name: string,
): Promise<Message> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      child.off('message', onMessage);
      child.off('exit', onExit);
    };
    const onMessage = (message: { readonly kind: string }) => {
      if (message.kind !== kind) return;
      settle();
      resolve(message as Message);
    };
    const onExit = (code: number | null, signal: string | null) => {
      settle();
      reject(new Error(`${name} ended with ${code ?? signal} before it sent "${kind}"`));
    };
    child.on('message', onMessage);
    child.once('exit', onExit);
    if (child.exitCode !== null || child.signalCode !== null) onExit(child.exitCode, child.signalCode);
  });
}
