import type { HookRequest } from './hook.ts';
import type { Call, Hold, Message, Sent, Visit } from './messages.ts';
import { createSightings, type Happened, type Sightings, see } from './sightings.ts';
import type { Stall } from './starvation.ts';

/** Something that was done to a part of the storm, on the wall clock of the machine. */
export interface FaultEntry {
  readonly kind: string;
  readonly target: string;
  readonly fromMs: number;
  /** When it was about to be made good. */
  healMs: number;
  toMs: number;
}

/** A worker's session as it was seen from outside. */
export interface SessionEntry {
  readonly worker: string;
  readonly sessionId: string;
  readonly address: string;
  readonly atMs: number;
}

/** Single faults while nothing else happens, for the figures that are promised. */
export interface Calm {
  /** A worker that was killed, and came back only when its leases were with others. */
  readonly killed: {
    readonly worker: string;
    readonly sessionId: string;
    readonly node: string;
    readonly atMs: number;
  };
  /** Each coordinator was restarted in order, and then one was killed. */
  readonly restartsFromMs: number;
  readonly lostNode: { readonly node: string; readonly atMs: number; readonly workers: readonly string[] };
  readonly toMs: number;
}

/** What was seen of webhooks. */
export interface HookRecord {
  /** As they were dealt with. */
  readonly requests: HookRequest[];
  /** How often the receiver was away, and how often the secret was changed. */
  absences: number;
  rotations: number;
  /** Deliveries that waited in the end and should have been tried again. */
  readonly overdue: string[];
  /** When what waited was sent at once, and how many of them there were. */
  repair: { readonly atMs: number; replayed: number } | undefined;
}

/** What the clients of a storm saw, to be held against the database. */
export interface StormRecord {
  /** The coordinators, as workers know them. */
  readonly nodes: { readonly name: string; readonly address: string }[];
  /** Those that hear orders. */
  readonly ready: Set<string>;
  /** Every key that was sent. */
  readonly sent: Map<string, Sent>;
  /** Ids that were answered for each key. */
  readonly acknowledged: Map<string, Set<string>>;
  /** Answers that named a task that was there before. */
  existed: number;
  /** Refusals by code and reason. */
  readonly refusals: Map<string, number>;
  /** Keys whose tasks somebody wanted cancelled. */
  readonly cancelled: Set<string>;
  /** Answers to a known key with another request. */
  readonly conflicts: { readonly key: string; readonly answer: string }[];
  /** Unary calls in all, by code, and those that took longer than they may. */
  readonly calls: Map<string, number>;
  readonly lateCalls: (Call & { readonly from: string })[];
  /** When handlers were told of a cancel, by task. */
  readonly told: Map<string, number>;
  /** Settlements of reports that came late, by report and outcome. */
  readonly settlements: Map<string, number>;
  /** Progress that zombies told of, by lease: the task and the last time. */
  readonly boasts: Map<string, { readonly taskId: string; readonly atMs: number }>;
  /** Reports that were recorded although the lease was another session's. */
  readonly foreign: Map<string, number>;
  /** Of each worker, in order. */
  readonly sessions: SessionEntry[];
  readonly workerOfSession: Map<string, string>;
  readonly served: { readonly guest: string; readonly node: string; readonly atMs: number }[];
  readonly visits: (Visit & { readonly guest: string })[];
  readonly holds: Hold[];
  /** Events in NATS, by the life of the stream that had them, in the order of the lives. */
  readonly onStream: Map<string, Sightings>;
  readonly subscribed: Sightings;
  /** Ids of what happened before the coordinators began to publish. */
  readonly unpublished: Set<string>;
  /** What had happened when all tasks had ended, and how long it took then until it was seen, or nothing more came. */
  happened: (Happened & { seenMs: number }) | undefined;
  readonly hooks: HookRecord;
  readonly faults: FaultEntry[];
  /** What was measured when the storm was over. */
  calm: Calm | undefined;
  /** When the machine had no time for a process, or for what Postgres was asked. */
  readonly stalls: (Stall & { readonly name: string })[];
  /** Whether there is a NATS to publish to. */
  hasNats: boolean;
  /** What should not have happened and needs no further checking. */
  readonly accidents: string[];
}

export function createRecord(): StormRecord {
  return {
    nodes: [],
    ready: new Set(),
    sent: new Map(),
    acknowledged: new Map(),
    existed: 0,
    refusals: new Map(),
    cancelled: new Set(),
    conflicts: [],
    calls: new Map(),
    lateCalls: [],
    told: new Map(),
    settlements: new Map(),
    boasts: new Map(),
    foreign: new Map(),
    sessions: [],
    workerOfSession: new Map(),
    served: [],
    visits: [],
    holds: [],
    onStream: new Map(),
    subscribed: createSightings(),
    unpublished: new Set(),
    happened: undefined,
    hooks: { requests: [], absences: 0, rotations: 0, overdue: [], repair: undefined },
    faults: [],
    calm: undefined,
    stalls: [],
    hasNats: false,
    accidents: [],
  };
}

/** The process of the storm itself: whatever can be disturbed goes through it. */
export const stormName = 'the storm';

/** A call may be answered this long after its deadline. */
export const callGraceMs = 250;

export function note(record: StormRecord, from: string, message: Message): void {
  switch (message.kind) {
    case 'sent':
      record.sent.set(message.key, message);
      break;
    case 'acknowledged': {
      const ids = record.acknowledged.get(message.key) ?? new Set();
      record.acknowledged.set(message.key, ids.add(message.id));
      if (message.existed) record.existed += 1;
      break;
    }
    case 'refused':
      count(record.refusals, message.why);
      break;
    case 'cancelling':
      record.cancelled.add(message.key);
      break;
    case 'conflict':
      record.conflicts.push(message);
      break;
    case 'call': {
      const { call } = message;
      count(record.calls, call.code);
      if (call.ms > call.deadlineMs + callGraceMs) record.lateCalls.push({ ...call, from });
      break;
    }
    case 'session':
      record.sessions.push({ worker: from, sessionId: message.sessionId, address: message.address, atMs: Date.now() });
      record.workerOfSession.set(message.sessionId, from);
      break;
    case 'told':
      record.told.set(message.taskId, message.atMs);
      break;
    case 'settled':
      count(record.settlements, `${message.report} ${message.outcome}`);
      break;
    case 'boasted':
      for (const { leaseId, taskId } of message.leases) record.boasts.set(leaseId, { taskId, atMs: message.atMs });
      break;
    case 'foreign':
      count(record.foreign, message.outcome);
      if (message.outcome === 'RECORDED') record.accidents.push(`${message.taskId}: a foreign lease was reported on`);
      break;
    case 'served':
      record.served.push({ guest: from, node: message.node, atMs: message.atMs });
      break;
    case 'visit':
      record.visits.push({ ...message.visit, guest: from });
      break;
    case 'held':
      record.holds.push(message.hold);
      break;
    case 'seen on the stream': {
      const sightings = record.onStream.get(message.life) ?? createSightings();
      record.onStream.set(message.life, sightings);
      see(sightings, message.events);
      break;
    }
    case 'seen by subscription':
      see(record.subscribed, message.events);
      break;
    case 'hooked':
      record.hooks.requests.push(message.request);
      break;
    case 'hook was away':
      record.hooks.absences += 1;
      break;
    case 'hook rotated':
      record.hooks.rotations += 1;
      break;
    case 'hook repaired':
      if (record.hooks.repair !== undefined) record.hooks.repair.replayed = message.replayed;
      break;
    case 'stall':
      record.stalls.push({ ...message.stall, name: from });
      break;
    case 'ready':
      record.ready.add(from);
      break;
    case 'done':
      break;
  }
}

/**
 * For how long the machine had no time for some processes between two moments: what they do one after the other is late
 * by as much, and never by more than the time that there was.
 */
export function starvedMs(record: StormRecord, names: readonly string[], fromMs: number, toMs: number): number {
  const sumMs = record.stalls
    .filter(({ name, atMs, spanMs }) => names.includes(name) && atMs > fromMs && atMs - spanMs < toMs)
    .reduce(
      (sum, { atMs, ms, spanMs }) => sum + Math.min(ms, Math.min(atMs, toMs) - Math.max(atMs - spanMs, fromMs)),
      0,
    );
  return Math.min(sumMs, Math.max(0, toMs - fromMs));
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
