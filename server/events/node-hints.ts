import type { Wake } from '../engine/wake.ts';
import type { HintChannel } from './hint-channel.ts';
import { type DueHint, decodeHint, encodeHint, type HintMessage, hintItemsMax } from './hint-message.ts';

/** What of a node hears hints of others. None of it believes them: it looks into the database. */
export interface HintedNode {
  readonly wake: Wake;
  /** Types that may have due tasks. */
  readonly due: (queues: readonly { readonly namespace: string; readonly type: string }[]) => void;
  /** A namespace in which any type may have due tasks. */
  readonly dueIn: (namespace: string) => void;
  /** Whether a worker session has a stream or a call here. */
  readonly serves: (sessionId: string) => boolean;
  /** Looks for what the workers of this node are to be told. */
  readonly look: () => void;
}

/** Hints that come together go together. */
const gatherMs = 2;
/** Between two messages of a node, so that a busy one does not flood the others. */
const pauseMs = 5;
/** Nodes with room do not all reach for the same few tasks at the same moment. */
const spreadMsMax = 3;
/** Whoever follows tasks says so every second. */
const followMs = 3_000;
/** More often nobody makes this node look for what its workers are to be told. */
const lookIntervalMs = 20;

/** Passes hints of this node on to the others, as far as it matters to them, and theirs to this one. */
export function startNodeHints(channel: HintChannel, node: HintedNode): { readonly stop: () => void } {
  const { wake } = node;
  let outgoing = createOutgoing();
  let timer: NodeJS.Timeout | undefined;
  let sentMs = Number.NEGATIVE_INFINITY;
  /** Until when another node wants to hear of changed tasks. */
  let followedUntilMs = Number.NEGATIVE_INFINITY;
  let lookTimer: NodeJS.Timeout | undefined;
  /** What is given on behalf of another node is not passed on. */
  let isRelaying = false;
  let isStopped = false;

  function pass(add: (hint: Outgoing) => void): void {
    if (isRelaying || isStopped) return;
    add(outgoing);
    timer ??= setTimeout(send, Math.max(gatherMs, sentMs + pauseMs - performance.now()));
  }

  function send(): void {
    timer = undefined;
    sentMs = performance.now();
    const { due, opened, changed, ended, sessions, ...rest } = outgoing;
    outgoing = createOutgoing();
    const message = { due: [...due.values()], opened: [...opened], changed: [...changed], ended: [...ended] };
    channel.give(encodeHint({ ...message, sessions: [...sessions], ...rest }));
  }

  wake.eventsWritten.listen(() =>
    pass((hint) => {
      hint.hasEvents = true;
    }),
  );
  wake.workLeft.listen((due) => pass((hint) => addDue(hint.due, due)));
  wake.gateOpened.listen(({ namespace, type }) => {
    if (type === undefined) pass((hint) => addTo(hint.opened, [namespace]));
  });
  wake.tasksChanged.listen(({ ids, ended }) => {
    if (ids.length === 0 || performance.now() > followedUntilMs) return;
    pass((hint) => addTo(ended ? hint.ended : hint.changed, ids));
  });
  wake.tasksFollowed.listen(() =>
    pass((hint) => {
      hint.followsTasks = true;
    }),
  );
  for (const hint of [wake.leaseCancelled, wake.sessionDrained]) {
    hint.listen(({ sessionId }: { readonly sessionId: string }) => {
      if (!node.serves(sessionId)) pass(({ sessions }) => addTo(sessions, [sessionId]));
    });
  }

  channel.listen((bytes) => {
    const hint = isStopped ? undefined : decodeHint(bytes);
    if (hint === undefined) return;
    isRelaying = true;
    try {
      hear(hint);
    } finally {
      isRelaying = false;
    }
  });

  function hear({ due, opened, changed, ended, sessions, hasEvents, followsTasks }: HintMessage): void {
    if (followsTasks) followedUntilMs = performance.now() + followMs;
    if (hasEvents) wake.eventsWritten.give(undefined);
    if (changed.length > 0) wake.tasksChanged.give({ ids: changed, ended: false });
    if (ended.length > 0) wake.tasksChanged.give({ ids: ended, ended: true });
    if (sessions.some(node.serves)) {
      lookTimer ??= setTimeout(() => {
        lookTimer = undefined;
        node.look();
      }, lookIntervalMs);
    }
    for (const [inMs, group] of Map.groupBy(due, (item) => item.inMs)) soon(inMs, () => node.due(group));
    for (const namespace of opened) soon(0, () => node.dueIn(namespace));
  }

  function soon(inMs: number, act: () => void): void {
    setTimeout(() => isStopped || act(), inMs + Math.random() * spreadMsMax).unref();
  }

  return {
    stop() {
      isStopped = true;
      clearTimeout(timer);
      clearTimeout(lookTimer);
    },
  };
}

interface Outgoing {
  readonly due: Map<string, DueHint>;
  readonly opened: Set<string>;
  readonly changed: Set<string>;
  readonly ended: Set<string>;
  readonly sessions: Set<string>;
  hasEvents: boolean;
  followsTasks: boolean;
}

function createOutgoing(): Outgoing {
  return {
    ...{ due: new Map(), opened: new Set(), changed: new Set(), ended: new Set(), sessions: new Set() },
    ...{ hasEvents: false, followsTasks: false },
  };
}

function addDue(due: Map<string, DueHint>, hint: DueHint): void {
  const key = `${hint.namespace}/${hint.type}`;
  const earlier = due.get(key);
  if (earlier === undefined ? due.size < hintItemsMax : hint.inMs < earlier.inMs) due.set(key, hint);
}

function addTo(set: Set<string>, names: Iterable<string>): void {
  for (const name of names) {
    if (set.size >= hintItemsMax) return;
    set.add(name);
  }
}
