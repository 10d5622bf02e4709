import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** What a receiver makes of a request that says that it is signed. */
export interface Judgement {
  /** Whether it is of now and signed with a secret that is known: receivers look for no more. */
  readonly isBelieved: boolean;
  /** Empty when it is as it must be. */
  readonly wrong: string;
  /** A rotation was not answered: nobody can know the secret. */
  readonly isForeseen: boolean;
  readonly signatures: number;
}

/** The secrets of a webhook as its owner knows them, to verify requests by the text of Standard Webhooks. */
export interface HookKeys {
  /** Another secret was asked for: from now on requests may be signed with one that nobody was told yet. */
  readonly asked: (nowMs: number) => void;
  /** That was answered. */
  readonly answered: (secret: string, nowMs: number) => void;
  readonly judge: (headers: IncomingHttpHeaders, body: string, nowMs: number) => Judgement;
}

interface Key {
  readonly secret: Buffer;
  /** From when to when it took over. */
  readonly askedMs: number;
  readonly answeredMs: number;
  /** How many others were made meanwhile that nobody was told of. */
  readonly unknown: number;
}

const toleranceMs = 5 * 60_000;

/** `overlapMs` is how long a rotation leaves the secret of before. */
export function createHookKeys(first: string, overlapMs: number): HookKeys {
  const never = Number.NEGATIVE_INFINITY;
  const keys: Key[] = [{ secret: secretOf(first), askedMs: never, answeredMs: never, unknown: 0 }];
  /** Rotations from their first asking to the answer. */
  const rotations: { readonly fromMs: number; toMs: number }[] = [];
  let askedMs = never;
  let tries = 0;

  /** Of a moment at which no rotation was under way: the keys that must have signed, and how many may have. */
  function wantedAt(sentMs: number): { readonly needed: readonly Key[]; readonly countMax: number } {
    const past = keys.filter(({ answeredMs }) => answeredMs <= sentMs);
    const needed = past.slice(-1);
    let countMax = 1;
    for (const [index, next] of past.entries()) {
      // What it took over from, whose time began at the first asking at the earliest; timestamps are whole seconds.
      const before = past[index - 1];
      if (before === undefined || sentMs > next.answeredMs + overlapMs) continue;
      if (sentMs + 1_000 < next.askedMs + overlapMs) needed.push(before);
      countMax += 1 + next.unknown;
    }
    return { needed, countMax };
  }

  return {
    asked(nowMs) {
      if (tries === 0) rotations.push({ fromMs: nowMs, toMs: Number.POSITIVE_INFINITY });
      if (tries === 0) askedMs = nowMs;
      tries += 1;
    },
    answered(secret, nowMs) {
      const last = rotations.at(-1);
      if (last !== undefined) last.toMs = nowMs;
      keys.push({ secret: secretOf(secret), askedMs, answeredMs: nowMs, unknown: tries - 1 });
      tries = 0;
    },
    judge(headers, body, nowMs) {
      const { 'webhook-id': id = '', 'webhook-timestamp': timestamp = '', 'webhook-signature': text = '' } = headers;
      const signatures = String(text).split(' ');
      const content = `${id}.${timestamp}.${body}`;
      const isSignedBy = ({ secret }: Key) => signatures.some((signature) => fits(signature, secret, content));
      const sentMs = Number(timestamp) * 1_000;
      const isOnTime = Math.abs(nowMs - sentMs) <= toleranceMs;
      const isBelieved = isOnTime && keys.some(isSignedBy);
      const judged = (wrong: string, isForeseen = false) => {
        return { isBelieved, wrong, isForeseen, signatures: signatures.length };
      };
      if (!isOnTime) return judged(`has the timestamp ${timestamp} at ${Math.floor(nowMs / 1_000)}`);
      if (rotations.some(({ fromMs, toMs }) => sentMs + 1_000 > fromMs && sentMs <= toMs)) {
        return isBelieved ? judged('') : judged('is signed with a secret that nobody was told', true);
      }
      const { needed, countMax } = wantedAt(sentMs);
      const missing = needed.filter((key) => !isSignedBy(key)).length;
      if (missing > 0) return judged(`lacks ${missing} of ${needed.length} signatures`);
      return judged(signatures.length <= countMax ? '' : `has ${signatures.length} signatures`);
    },
  };
}

function secretOf(text: string): Buffer {
  if (!/^whsec_[A-Za-z0-9+/]+=*$/.test(text)) throw new Error('this is no secret of Standard Webhooks');
  return Buffer.from(text.slice('whsec_'.length), 'base64');
}

function fits(signature: string, secret: Buffer, content: string): boolean {
  const [version, value = ''] = signature.split(',');
  const [is, wanted] = [Buffer.from(value, 'base64'), createHmac('sha256', secret).update(content).digest()];
  return version === 'v1' && is.length === wanted.length && timingSafeEqual(is, wanted);
}
