/** Bounds of the coordinator that more than one place knows, or people ask for, with their unit last. Those that operators change are in `config.ts`, with these as defaults. */
export const limits = {
  payloadBytesMaxDefault: 2 * 1024 * 1024,
  /** One gRPC message or HTTP body: a batch, or a payload with its envelope. */
  messageBytesMax: 8 * 1024 * 1024,
  /** Of one JSON Schema as text: compiling one of this length takes a second at the worst. */
  schemaCharactersMax: 128 * 1024,
  /**
   * A schema that takes longer to compile, and a payload that takes longer to be held against one, are refused, a quarter of
   * a second later at the latest.
   */
  schemaCompileMs: 5_000,
  schemaCheckMs: 1_000,
  /** Checks against schemas that wait before callers are turned away, and their payloads. */
  schemaChecksWaitingMax: 10_000,
  schemaChecksBytesMax: 256 * 1024 * 1024,
  /** The same of schemas that took too long before, each of which may take a second. */
  slowSchemaChecksWaitingMax: 100,
  headerBytesMax: 64 * 1024,
  concurrentStreamsPerConnectionMax: 1_000,

  unaryDeadlineMsDefault: 30_000,
  /** A longer deadline of a client is cut to this. */
  unaryDeadlineMsMax: 120_000,
  helloWaitMs: 5_000,
  awaitTaskMsDefault: 20_000,
  awaitTaskMarginMs: 250,
  streamWriteDeadlineMs: 10_000,
  /** How long the status of a stream that ends with an error may have to wait for its reader: a token has expired, maybe. */
  streamStatusMs: 1_000,
  streamBufferBytesMax: 512 * 1024,
  /** Reports of one stream that may wait for their commit before the stream is read no further. */
  unsettledReportsMax: 2_000,
  unsettledBytesMax: 8 * 1024 * 1024,

  /** A stream is pinged this often, or every third of a lease, and is gone after twice as long without a sign of life. */
  heartbeatMsMax: 5_000,
  /** How often a stream's silence and token are looked at. */
  vigilIntervalMs: 500,
  /** How long before its token expires a worker is asked for a fresh one. */
  credentialsAheadMs: 60_000,

  leaseMsDefault: 10_000,
  deliveryMs: 3_000,
  /** How long a lease is held before the database is asked whether it still is, and then again and again. */
  leaseCheckMsMax: 5_000,
  leaseCheckBatchMax: 2_000,
  cancelGraceMsDefault: 10_000,
  progressStoreIntervalMs: 1_000,
  /** Workers lost during one task before it is held to be what kills them. */
  crashesMax: 5,
  drainMs: 8_000,
  /** What a node has for the rest once its calls have ended: with `drainMs` less than the ten seconds of a supervisor. */
  closeMs: 1_000,

  pageSizeDefault: 50,
  eventPageSizeDefault: 100,
  typePageSizeDefault: 100,
  sessionPageSizeDefault: 100,
  /** Tasks that one task depends on; the contract says so, too. */
  dependenciesMax: 1_000,
  /** The same for all tasks of one call together. */
  dependenciesPerCallMax: 20_000,
  dependencyPageSizeDefault: 100,
  /** Outputs of dependencies in one answer; one that is larger comes alone. */
  dependencyPageBytesMax: 2 * 1024 * 1024,
  /** Tasks with the labels of a filter that are held to be few: they are all looked at to fill a page. */
  fewLabelledMax: 10_000,
  /** Windows of the table that one list looks at before it answers with what it has found. */
  listLooksMax: 25,
  /** The newest ones, of which a summary is made. */
  deadLettersCountedMax: 10_000,
  deadLetterGroupsMax: 100,
  /** Tasks that one call by filter steers. */
  bulkTasksDefault: 1_000,
  bulkSampleIdsMax: 10,
  /** Such a call takes no next step after this time. */
  bulkPageMsMax: 10_000,
  /** Items that one group commit writes in one statement. */
  groupCommitItemsMax: 500,
  /** Payload bytes that one group commit writes in one statement. */
  groupCommitBytesMax: 8 * 1024 * 1024,
  /** Items waiting for a group commit before callers are turned away. */
  groupCommitQueueMax: 20_000,
  claimBatchMax: 500,
  /** Events that come in with one call. */
  eventBatchMax: 100,
  /** JSON of an event that expressions look into, and its levels; of what is larger or deeper they see no data. */
  eventDataBytesMax: 512 * 1024,
  eventDataDepthMax: 100,
  eventRulesMax: 1_000,
  /** Of one expression, as text, and of all of a rule together: reading one takes time by a power of its length. */
  expressionCharactersMax: 1_000,
  ruleExpressionCharactersMax: 4_000,
  expressionDepthMax: 20,
  ruleTemplateCharactersMax: 64 * 1024,
  /** What the expressions of one rule may cost with one event; some 10 ns each. */
  expressionUnitsMax: 5_000_000,
  /** What a node has reserved of a queue and not used is anybody's after this time; the node itself uses it for less long. */
  queueReservationMs: 2_000,
  queueReservationUseMs: 1_000,
  /** Who found a queue full is asked to wait this long. */
  queueFullRetryMs: 1_000,
  /** How often a submission asks for another place when the one that it had is gone before it was written. */
  queuePlacesMax: 5,
  /** Tasks of a type that its status counts. */
  statusCountMax: 10_000,

  /** A statement takes at most this long on the server; the node gives up a connection one second later. */
  statementMsMax: 5_000,
  databaseConnections: 10,
  databaseQueueMax: 10_000,
  databaseReadQueueMax: 5_000,

  pollIntervalMs: 1_000,
  sweepBatchMax: 500,
  /** Streams of events that one node serves. */
  subscribersMax: 1_000,
  /** A subscriber hears at least this often how far the stream was looked at. */
  subscriberSilenceMs: 5_000,
  /** Bytes of one answer to a subscriber, about: a slow one has one of them, and a page, in memory. */
  subscriberBatchBytesMax: 64 * 1024,
  /** Events of each shard that a page of history has, when the subscriber wants some of them and when it wants none. */
  historyShardEventsMin: 32,
  historyShardEventsMax: 256,
  /** Pages of history that one node reads at the same time. */
  historyReadsMax: 3,
  /** No transaction that writes events takes longer, from its beginning to its commit. */
  eventTransactionMsMax: 60_000,
  /** What the end of the stream keeps for subscribers that are a little behind. */
  tailEventsMax: 10_000,
  tailBytesMax: 24 * 1024 * 1024,
  tailShardEventsMax: 256,
  /** The end of the stream is not looked at again sooner, nor sooner than so many times as long as the last look took. */
  tailPauseMs: 5,
  tailPauseFactor: 3,

  /** How often it is looked for transactions that stay open, and how long one may. */
  snapshotLookIntervalMs: 5_000,
  snapshotSlowsAfterMs: 2_000,
  snapshotAgeMsMax: 30_000,
  snapshotWarningEveryMs: 60_000,
  historyDaysDefault: 90,

  webhooksPerNamespaceMax: 100,
  /** Requests that a node has under way, to all endpoints and to one; tests of people come on top. */
  webhookSendingMax: 128,
  webhookSendingPerEndpointMax: 8,
  /** Of one namespace, for each place that it leaves free: alone it gets three quarters of all, two get three sevenths each. */
  webhookSendingPerFreePlaceMax: 3,
  webhookTestsMax: 8,
  webhookConnectMsMax: 5_000,
  /** From the first byte to the last, with all that one delivery asks for. */
  webhookDeliveryMsMax: 15_000,
  /** After this time a delivery whose node said nothing is sent by another one. */
  webhookLeaseMs: 45_000,
  webhookResponseBytesMax: 64 * 1024,
  webhookErrorCharactersMax: 500,
  webhookAttemptsMax: 12,
  /** How long a delivery is tried in any case. */
  webhookPendingMsMax: 24 * 3_600_000,
  webhookRetryAfterMsMax: 3_600_000,
  /** Of one webhook; what is beyond that is given up, the oldest first. */
  webhookPendingMax: 100_000,
  webhookDeadLettersMax: 100_000,
  webhookSucceededMax: 10_000,
  webhookLogMsMax: 14 * 24 * 3_600_000,
  webhookReferenceMsMax: 180 * 24 * 3_600_000,
  webhookSweepIntervalMs: 15_000,
  webhookEventsMax: 500,
  /** Deliveries that one statement makes, ends or deletes. */
  webhookBatchMax: 1_000,
  webhookPageSizeDefault: 100,
  webhookDeliveryPageSizeDefault: 50,
  webhookReplayMax: 1_000,
  webhookCountMax: 10_000,
  /** Secrets of before that requests are signed with, too. */
  webhookPreviousSecretsMax: 4,
  webhookSecretOverlapMsDefault: 24 * 3_600_000,
} as const;

/** How long a delivery that failed waits: full jitter below a bound that grows from half a minute to four hours. */
export const webhookRetry = {
  attemptsMax: limits.webhookAttemptsMax,
  initialDelayMs: 30_000,
  multiplier: 3,
  delayMsMax: 4 * 3_600_000,
  nonRetryableCodes: [] as readonly string[],
} as const;

export const priorityDefault = 4;

export const retryPolicyDefault = {
  attemptsMax: 5,
  initialDelayMs: 1_000,
  multiplier: 2,
  delayMsMax: 600_000,
  nonRetryableCodes: [] as readonly string[],
} as const;

/** Of a type that sets none: only a fatal failure opens it. */
export const circuitBreakerDefault = {
  failureRatio: 0,
  attemptsMin: 20,
  windowMs: 60_000,
  openMs: 30_000,
  probes: 1,
} as const;

export const runDeadlineMsDefault = 3_600_000;
export const retentionMsDefault = 30 * 24 * 3_600_000;
