import { create } from '@bufbuild/protobuf';
import { CredentialsNeededSchema, PingSchema } from '@dstc/contract/dstc/v1/worker_pb';
import { DstcError } from '../../domain/errors.ts';
import { limits } from '../../domain/limits.ts';
import type { LiveSession } from '../../engine/live-session.ts';
import { toDuration } from '../convert/time.ts';
import { tokenExpired } from '../token-expiry.ts';
import type { Access } from './access.ts';
import type { Outbox } from './outbox.ts';

export interface VigilOptions {
  readonly session: LiveSession;
  readonly access: Access;
  readonly outbox: Outbox;
  readonly heartbeatMs: number;
}

/**
 * Watches over an open stream: pings it, ends it when its worker is silent for two heartbeats, asks for a fresh token
 * before the old one expires, and ends it when none comes.
 */
export function keepVigil({ session, access, outbox, heartbeatMs }: VigilOptions): { readonly stop: () => void } {
  let nonce = 0n;
  let pingedAtMs = performance.now();
  let lookedAtMs = pingedAtMs;
  // A short lease has short heartbeats: looking at them too seldom would miss a ping and end a stream that lives.
  const intervalMs = Math.min(limits.vigilIntervalMs, heartbeatMs / 4);

  const timer = setInterval(() => {
    const nowMs = performance.now();
    // When the node itself had no time, what its workers have said meanwhile is still unread.
    const hasSlept = nowMs - lookedAtMs > 2 * intervalMs;
    lookedAtMs = nowMs;
    if (session.silentMs > 2 * heartbeatMs && !hasSlept) {
      outbox.end(
        new DstcError('DEADLINE_EXCEEDED', `no sign of life for ${2 * heartbeatMs} ms; answer Ping with Pong`),
      );
      return;
    }
    if (nowMs - pingedAtMs >= heartbeatMs) {
      pingedAtMs = nowMs;
      nonce += 1n;
      outbox.push({ case: 'ping', value: create(PingSchema, { nonce }) });
    }
    const leftMs = access.leftMs();
    if (leftMs <= 0) {
      outbox.end(tokenExpired());
    } else if (access.wantsToken()) {
      const within = toDuration(Math.floor(leftMs));
      outbox.push({ case: 'credentialsNeeded', value: create(CredentialsNeededSchema, { within }) });
    }
  }, intervalMs);
  timer.unref();

  return { stop: () => clearInterval(timer) };
}
