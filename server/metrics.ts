import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Engine } from './engine/engine.ts';

/** What a node tells Prometheus. Labels never carry names that callers choose, so the number of series is bounded. */
export function createMetrics(engine: Engine): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'dstc_worker_sessions',
    help: 'Worker sessions with a stream to this node.',
    registers: [registry],
    collect() {
      this.set(engine.sessions.ids().length);
    },
  });
  new Gauge({
    name: 'dstc_leases',
    help: 'Leases held by the worker sessions of this node.',
    registers: [registry],
    collect() {
      const held = engine.sessions.ids().map((id) => engine.sessions.get(id)?.heldCount ?? 0);
      this.set(held.reduce((sum, count) => sum + count, 0));
    },
  });
  new Gauge({
    name: 'dstc_oldest_snapshot_seconds',
    help: 'Age of the oldest transaction of the database that keeps dead rows alive.',
    registers: [registry],
    collect() {
      this.set(engine.snapshots.ageMs() / 1_000);
    },
  });
  new Gauge({
    name: 'dstc_shut_gates',
    help: 'Task types and namespaces that are held up, over all nodes, as of the last second.',
    labelNames: ['by'],
    registers: [registry],
    collect() {
      const { paused, open, halfOpen } = engine.circuits.shut();
      this.set({ by: 'pause' }, paused);
      this.set({ by: 'open_circuit' }, open);
      this.set({ by: 'half_open_circuit' }, halfOpen);
    },
  });
  return registry;
}
