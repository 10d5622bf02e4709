/** What a node tells the others; all of it may be lost, old, or made up by somebody. */
export interface HintMessage {
  /** Types with more due tasks than the node has room for, and in how many milliseconds. */
  readonly due: readonly DueHint[];
  /** Namespaces that go on after a pause. */
  readonly opened: readonly string[];
  /** Tasks that have changed, and those of them that have ended. */
  readonly changed: readonly string[];
  readonly ended: readonly string[];
  /** Worker sessions that are to be told something. */
  readonly sessions: readonly string[];
  /** There are new events. */
  readonly hasEvents: boolean;
  /** The node wants to hear of changed tasks, for a while. */
  readonly followsTasks: boolean;
}

export interface DueHint {
  readonly namespace: string;
  readonly type: string;
  readonly inMs: number;
}

/** Of each list; what is more than that is found by polling. */
export const hintItemsMax = 2_000;
const bytesMax = 256 * 1024;
const nameCharactersMax = 256;
/** What is due later is found by polling. */
const inMsMax = 1_000;

/** One that would be too large for the others says only what fits always; the rest is found by polling. */
export function encodeHint(hint: HintMessage): Uint8Array {
  const whole = encode(hint);
  return whole.byteLength <= bytesMax
    ? whole
    : encode({ ...hint, due: [], opened: [], changed: [], ended: [], sessions: [] });
}

function encode(hint: HintMessage): Uint8Array {
  const due = hint.due.map(({ namespace, type, inMs }) => [namespace, type, inMs]);
  return Buffer.from(
    JSON.stringify({
      ...(due.length > 0 && { due }),
      ...(hint.opened.length > 0 && { opened: hint.opened }),
      ...(hint.changed.length > 0 && { changed: hint.changed }),
      ...(hint.ended.length > 0 && { ended: hint.ended }),
      ...(hint.sessions.length > 0 && { sessions: hint.sessions }),
      ...(hint.hasEvents && { events: true }),
      ...(hint.followsTasks && { follows: true }),
    }),
  );
}

/** Undefined for what is no hint; parts that another version may have, or that make no sense, are left out. */
export function decodeHint(bytes: Uint8Array): HintMessage | undefined {
  if (bytes.byteLength > bytesMax) return undefined;
  const hint = parse(bytes);
  if (hint === undefined) return undefined;
  return {
    due: itemsOf(hint.due).flatMap(dueHint),
    opened: namesOf(hint.opened),
    changed: namesOf(hint.changed),
    ended: namesOf(hint.ended),
    sessions: namesOf(hint.sessions),
    hasEvents: hint.events === true,
    followsTasks: hint.follows === true,
  };
}

function parse(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function itemsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value.slice(0, hintItemsMax) : [];
}

function namesOf(value: unknown): string[] {
  return itemsOf(value).filter(isName);
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= nameCharactersMax;
}

function dueHint(item: unknown): DueHint[] {
  if (!Array.isArray(item)) return [];
  const [namespace, type, inMs]: unknown[] = item;
  if (!isName(namespace) || !isName(type) || typeof inMs !== 'number' || !Number.isFinite(inMs)) return [];
  return [{ namespace, type, inMs: Math.min(Math.max(0, inMs), inMsMax) }];
}
