import { createHmac, randomBytes } from 'node:crypto';

const secretBytes = 32;

export function newSecret(): Uint8Array {
  return randomBytes(secretBytes);
}

/** As Standard Webhooks writes it. */
export function secretText(secret: Uint8Array): string {
  return `whsec_${Buffer.from(secret).toString('base64')}`;
}

/** The headers of Standard Webhooks: one signature for each secret. */
export function signatureHeaders(
  secrets: readonly Uint8Array[],
  message: { readonly id: string; readonly body: string; readonly sentMs: number },
): Record<string, string> {
  const timestamp = String(Math.floor(message.sentMs / 1_000));
  const content = `${message.id}.${timestamp}.${message.body}`;
  const signatures = secrets.map((secret) => `v1,${createHmac('sha256', secret).update(content).digest('base64')}`);
  return {
    'webhook-id': message.id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures.join(' '),
  };
}
