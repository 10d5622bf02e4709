import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Engine } from './engine/engine.ts';
import type { Tallied } from './engine/tally.ts';
import type { ShardReader } from './events/shard-reader.ts';
import type { Relay } from './events/start-relay.ts';
import type { Subscribers } from './events/subscribers.ts';
import { addWebhookMetrics, type WebhookActivity } from './webhook-metrics.ts';

type Labels = Readonly<Record<string, string>>;

/** The parts of a node that are watched. */
export interface Observed {
  readonly engine: Engine;
  readonly subscribers: Pick<Subscribers, 'count'>;
  /** Undefined without NATS. */
  readonly relay: Pick<Relay, 'counts'> | undefined;
  /** Those who have to see every event. */
  readonly readers: readonly Omit<ShardReader, 'look' | 'stop'>[];
  readonly webhooks: WebhookActivity;
}

/** What a node tells Prometheus. Labels never carry names that callers choose, so the number of series is bounded. */
export function createMetrics({ engine, subscribers, relay, readers, webhooks }: Observed): Registry {
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
    name: 'dstc_event_subscribers',
    help: 'Streams of events that this node serves.',
    registers: [registry],
    collect() {
      this.set(subscribers.count());
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
    name: 'dstc_overdue_timer_seconds',
    help: 'How late this node last found the task deadline that had passed first.',
    registers: [registry],
    collect() {
      this.set(engine.timers.lateMs / 1_000);
    },
  });
  const counter = (
    name: string,
    help: string,
    counts: readonly { readonly what: Tallied; readonly labels?: Labels }[],
  ) =>
    new Counter({
      name,
      help,
      labelNames: Object.keys(counts[0]?.labels ?? {}),
      registers: [registry],
      collect() {
        this.reset();
        for (const { what, labels = {} } of counts) this.inc(labels, engine.tally.of(what));
      },
    });
  counter('dstc_assignments_taken_back_total', 'Assignments that no worker accepted, given back unspent.', [
    { what: 'assignmentsTakenBack' },
  ]);
  counter('dstc_leases_lost_total', 'Leases of workers that gave no sign of life, taken back by this node.', [
    { what: 'leasesLost' },
  ]);
  counter('dstc_stale_reports_total', 'Reports on leases that were not held any more; they changed nothing.', [
    { what: 'reportsStale' },
  ]);
  counter(
    'dstc_deadlines_passed_total',
    'Deadlines of tasks that this node found passed.',
    (['start', 'heartbeat', 'run', 'total', 'cancel'] as const).map((deadline) => ({
      what: `deadlinesPassed.${deadline}` as const,
      labels: { deadline },
    })),
  );
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
  addEventMetrics(registry, { relay, readers });
  addWebhookMetrics(registry, webhooks);
  return registry;
}

function addEventMetrics(registry: Registry, { relay, readers }: Pick<Observed, 'relay' | 'readers'>): void {
  const labelNames = ['reader'];
  new Gauge({
    name: 'dstc_event_lag_seconds',
    help: 'Age of the oldest event that a reader of all events has not dealt with, over all nodes, as of the last second.',
    labelNames,
    registers: [registry],
    collect() {
      for (const { reader, lagMs } of readers) this.set({ reader }, lagMs() / 1_000);
    },
  });
  new Gauge({
    name: 'dstc_event_backlog',
    help: 'Events that a reader of all events has not dealt with, over all nodes, up to 80,000.',
    labelNames,
    registers: [registry],
    async collect() {
      this.reset();
      for (const { reader, unread } of readers) {
        const count = await unread();
        if (count !== undefined) this.set({ reader }, count);
      }
    },
  });
  new Gauge({
    name: 'dstc_event_shards',
    help: 'Shards of all events that this node reads, of 8.',
    labelNames,
    registers: [registry],
    collect() {
      for (const { reader, shardCount } of readers) this.set({ reader }, shardCount());
    },
  });
  const counts = [
    ['dstc_events_published_total', 'Events that this node has published to NATS.', 'published'],
    ['dstc_event_duplicates_total', 'Events that NATS had already when this node published them.', 'duplicates'],
    ['dstc_nats_reconnects_total', 'Connections to NATS that were lost and found again.', 'reconnects'],
  ] as const;
  for (const [name, help, what] of counts) {
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(relay?.counts()[what] ?? 0);
      },
    });
  }
}
