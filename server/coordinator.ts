import { setTimeout as pause } from 'node:timers/promises';
import { EventRuleService } from '@dstc/contract/dstc/v1/event_rule_service_pb';
import { EventService } from '@dstc/contract/dstc/v1/event_service_pb';
import { NamespaceService } from '@dstc/contract/dstc/v1/namespace_service_pb';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { WebhookService } from '@dstc/contract/dstc/v1/webhook_service_pb';
import { WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import type { Logger } from 'pino';
import { createCallers } from './auth/caller.ts';
import { createPolicy } from './auth/policy.ts';
import { createTokenVerifier } from './auth/tokens.ts';
import type { Config } from './config.ts';
import { natsSettings } from './config-nats.ts';
import { DstcError } from './domain/errors.ts';
import { limits } from './domain/limits.ts';
import type { Door } from './doors/door.ts';
import { startGrpcDoor } from './doors/grpc.ts';
import { startHttpDoor } from './doors/http.ts';
import { mountServices } from './doors/pipeline.ts';
import { service } from './doors/service.ts';
import { eventRuleService } from './doors/services/event-rule-service.ts';
import { eventService } from './doors/services/event-service.ts';
import { namespaceService } from './doors/services/namespace-service.ts';
import { createEventIntake, publishEvents } from './doors/services/publish-events.ts';
import { rebuildEvents } from './doors/services/rebuild-events.ts';
import { taskService } from './doors/services/task-service.ts';
import { taskTypeService } from './doors/services/task-type-service.ts';
import { webhookService } from './doors/services/webhook-service.ts';
import { workerService } from './doors/services/worker-service.ts';
import { openTls, type Tls } from './doors/tls.ts';
import { createReportByEvent } from './doors/worker/report-event.ts';
import { createWorkerReports } from './doors/worker/reports.ts';
import { startEngine } from './engine/engine.ts';
import { createLimiter } from './events/limiter.ts';
import { startNodeHints } from './events/node-hints.ts';
import { startShardReader } from './events/shard-reader.ts';
import { startEvents } from './events/start-events.ts';
import { createSubscribers } from './events/subscribers.ts';
import { createTail } from './events/tail.ts';
import { startWebhooks } from './events/webhooks/start-webhooks.ts';
import { createMetrics } from './metrics.ts';
import { openDatabase } from './store/database.ts';

/** A running node. */
export interface Coordinator {
  readonly grpcAddress: Door['address'];
  readonly httpAddress: Door['address'];
  /** Sends workers elsewhere, finishes what is under way and ends; takes `limits.drainMs` and `limits.closeMs` at most. */
  readonly drain: () => Promise<void>;
  /** Ends at once. */
  readonly stop: () => Promise<void>;
}

/** Puts a node together and opens its doors. The schema must be up to date: see `migrate`. */
export async function startCoordinator(config: Config, log: Logger): Promise<Coordinator> {
  const tls = await tlsOf(config, log);
  const policy = await createPolicy({ log }, config.policyFile);
  const verifier = createTokenVerifier({ log }, config.issuers);
  const callers = createCallers({ verifier, policy });
  const database = openDatabase({
    url: config.databaseUrl,
    connections: config.databaseConnections,
    applicationName: `dstc ${config.nodeName}`,
  });
  const { leaseMs, payloadBytesMax, historyDays } = config;
  const engine = startEngine({ database, log }, { node: config.nodeName, leaseMs, payloadBytesMax, historyDays });
  // The history says which policy decided when.
  engine.policyRecord.took(policy.digest());
  policy.onChange(() => engine.policyRecord.took(policy.digest()));
  const { nodeName: node, cell } = config;
  const { eventsWritten } = engine.wake;
  const { databaseUrl } = config;
  const events = startEvents({ database, log, eventsWritten, node }, { databaseUrl, cell, nats: natsSettings(config) });
  const hints = startNodeHints(events.hints, {
    ...engine,
    ...engine.dispatch,
    serves: (id) => engine.sessions.get(id) !== undefined || engine.dispatch.sessionsOf(id).length > 0,
  });
  const webhooks = startWebhooks(
    { database, log },
    { cell, allowsHttp: config.webhookAllowHttp, allowedNetworks: config.webhookAllowNetworks },
  );
  const webhookReader = startShardReader({ database, log, eventsWritten, node }, webhooks.consumer);
  const readers = [...(events.relay === undefined ? [] : [events.relay]), webhookReader];
  const tail = createTail({ database, written: engine.wake.eventsWritten, log });
  const draining = new AbortController();
  const doors: Door[] = [];
  try {
    return await openDoors();
  } catch (error) {
    await close();
    throw error;
  }

  /** What may throw: the node runs already, and would go on without doors. */
  async function openDoors(): Promise<Coordinator> {
    const reports = createWorkerReports(engine);
    const subscribers = createSubscribers();
    const history = createLimiter(limits.historyReadsMax);
    const reportByEvent = createReportByEvent({ sessions: engine.sessions, reports });
    const intake = createEventIntake({ fireEvent: engine.fireEvent, reportByEvent, payloadBytesMax, log });
    const services = mountServices({ log }, [
      service(TaskService, taskService({ ...engine, database, log, draining: draining.signal })),
      service(TaskTypeService, taskTypeService({ ...engine, database })),
      service(NamespaceService, namespaceService({ ...engine, database })),
      service(EventRuleService, eventRuleService({ ...engine, database, payloadBytesMax })),
      service(EventService, {
        ...eventService({
          database,
          tail,
          history,
          subscribers,
          cell: config.cell,
          historyDays,
          draining: draining.signal,
        }),
        ...publishEvents(intake),
        ...rebuildEvents({ database, log }),
      }),
      service(WebhookService, webhookService({ ...webhooks, database })),
      service(
        WorkerService,
        workerService({ engine, database, callers, reports, log, leaseMs, payloadBytesMax, draining: draining.signal }),
      ),
    ]);
    const deps = { log, callers, ready };
    const doorOptions = { services, limits, tls };
    const grpc = await startGrpcDoor(deps, { ...doorOptions, address: config.grpcAddress });
    doors.push(grpc);
    const http = await startHttpDoor(
      { ...deps, metrics: createMetrics({ engine, subscribers, relay: events.relay, readers, webhooks }) },
      { ...doorOptions, address: config.httpAddress, events: intake, corsOrigins: config.corsOrigins },
    );
    doors.push(http);
    return {
      grpcAddress: grpc.address,
      httpAddress: http.address,
      async drain() {
        draining.abort(nodeDraining());
        await Promise.all(doors.map((door) => door.drain()));
        await closeInTime();
      },
      stop: close,
    };
  }

  async function ready(): Promise<void> {
    draining.signal.throwIfAborted();
    await database.run((sql) => sql`SELECT 1`);
  }

  /** What cannot be written meanwhile, as when Postgres is away, is left to the others as if this node had been killed. */
  async function closeInTime(): Promise<void> {
    const timer = new AbortController();
    const isLate = pause(limits.closeMs, true, { signal: timer.signal }).catch(() => false);
    if (await Promise.race([close().then(() => false), isLate])) log.warn('what is under way is left to other nodes');
    timer.abort();
  }

  async function close(): Promise<void> {
    draining.abort(nodeDraining());
    await Promise.all(doors.map((door) => door.stop()));
    tail.stop();
    hints.stop();
    await engine.stop();
    // What it wrote last goes out, too.
    await Promise.all([events.stop(), webhookReader.stop()]);
    await webhooks.stop();
    policy.close();
    tls?.close();
    await database.close();
  }
}

function nodeDraining(): DstcError {
  return new DstcError('NODE_DRAINING', 'this node shuts down; go on elsewhere', { retryDelayMs: 250 });
}

async function tlsOf(config: Config, log: Logger): Promise<Tls | undefined> {
  const { tlsCertFile: certFile, tlsKeyFile: keyFile, tlsClientCaFile: clientCaFile } = config;
  return certFile === undefined || keyFile === undefined
    ? undefined
    : openTls({ log }, { certFile, keyFile, clientCaFile });
}
