import { setTimeout as pause } from 'node:timers/promises';
import type { Client } from '@dstc/sdk';

/** Who works, as the coordinator tells an operator. */
export interface WorkerSessions {
  /**
   * Resolves with those of the processes whose workers have connected: when all have, or when the time is over. One that
   * has been connected and has left again counts.
   */
  connected(pids: () => readonly number[], waitMs: number): Promise<ReadonlySet<number>>;
  /** The name that the worker of a session has given itself. */
  nameOf(sessionId: string): Promise<string>;
}

const pollMs = 50;

export function createWorkerSessions(operator: Pick<Client, 'workers'>): WorkerSessions {
  const names = new Map<string, string>();

  async function list() {
    const workers = await Array.fromAsync(operator.workers());
    for (const { id, labels } of workers) names.set(id, labels.name ?? 'a worker');
    return workers;
  }

  return {
    async connected(pids, waitMs) {
      const giveUp = performance.now() + waitMs;
      const seen = new Set<number>();
      for (;;) {
        for (const { labels } of await list()) seen.add(Number(labels.pid));
        if (performance.now() >= giveUp || pids().every((pid) => seen.has(pid))) return seen;
        await pause(pollMs);
      }
    },
    async nameOf(sessionId) {
      if (!names.has(sessionId)) await list();
      // A session that is over is not listed any more.
      return names.get(sessionId) ?? 'a worker that left';
    },
  };
}
