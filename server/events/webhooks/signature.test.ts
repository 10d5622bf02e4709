import { Webhook } from 'standardwebhooks';
import { expect, test } from 'vitest';
import { newSecret, secretText, signatureHeaders } from './signature.ts';

const message = { id: '0192f0c1-0000-7000-8000-000000000001:3', body: '{"text":"Grüße “out” of 東京"}' };

test('the library of Standard Webhooks verifies what is signed, with either of two secrets', () => {
  const [current, previous, foreign] = [newSecret(), newSecret(), newSecret()];
  const headers = signatureHeaders([current, previous], { ...message, sentMs: Date.now() });
  for (const secret of [current, previous]) {
    expect(new Webhook(secretText(secret)).verify(message.body, headers)).toEqual(JSON.parse(message.body));
  }
  expect(() => new Webhook(secretText(foreign)).verify(message.body, headers)).toThrow();
  expect(() => new Webhook(secretText(current)).verify(`${message.body} `, headers)).toThrow();
  const otherId = { ...headers, 'webhook-id': 'another' };
  expect(() => new Webhook(secretText(current)).verify(message.body, otherId)).toThrow();
});

test('a signature is the one that the library makes', () => {
  const secret = newSecret();
  const sentMs = 1_760_000_000_999;
  const made = new Webhook(secretText(secret)).sign(message.id, new Date(1_760_000_000_000), message.body);
  expect(signatureHeaders([secret], { ...message, sentMs })).toEqual({
    'webhook-id': message.id,
    'webhook-timestamp': '1760000000',
    'webhook-signature': made,
  });
});
