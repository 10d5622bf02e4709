import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Conduct, Message, Order, Settings, Steering } from './messages.ts';

/** A worker or submitter of a storm, in a process of its own that can be started anew. */
export interface Member {
  readonly start: () => void;
  readonly send: (order: Order | Steering | Conduct) => void;
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Signals it, unless it is gone, and waits until it is. */
  readonly end: (signal: 'SIGTERM' | 'SIGKILL') => Promise<void>;
  /** Resolves when it has ended. */
  readonly ended: () => Promise<void>;
}

export interface MemberOptions {
  /** Beside this file. */
  readonly file: string;
  readonly settings: Settings;
  readonly onMessage: (message: Message) => void;
  /** It ended, and nobody had asked it to. */
  readonly onDeath: (how: string) => void;
}

export function member({ file, settings, onMessage, onDeath }: MemberOptions): Member {
  let child: ChildProcess | undefined;
  let isAsked = false;

  return {
    start() {
      isAsked = false;
      // It inherits how this process resolves the workspace.
      child = fork(new URL(file, import.meta.url), [JSON.stringify(settings)], {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      });
      child.on('message', (messages: readonly Message[]) => {
        for (const message of messages) {
          if (message.kind === 'done') isAsked = true;
          onMessage(message);
        }
      });
      child.on('exit', (code, signal) => {
        if (!isAsked) onDeath(String(signal ?? code));
      });
    },
    send: (message) => void (child?.connected && child.send(message)),
    signal: (signal) => void child?.kill(signal),
    async end(signal) {
      isAsked = true;
      if (child === undefined || hasEnded(child)) return;
      const exit = once(child, 'exit');
      child.kill(signal);
      await exit;
    },
    async ended() {
      if (child !== undefined && !hasEnded(child)) await once(child, 'exit');
    },
  };
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
