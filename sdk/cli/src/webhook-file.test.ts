import { expect, test } from 'vitest';
import { parseWebhookFile } from './webhook-file.ts';

test('reads a webhook from YAML', () => {
  const text = `
url: https://hooks.example.com/
filter: { types: [dstc.task.failed.v1], labels: { tenant: acme } }
format: { slack: {} }
`;
  expect(parseWebhookFile('a.yaml', text)).toEqual({
    url: 'https://hooks.example.com/',
    filter: { types: ['dstc.task.failed.v1'], labels: { tenant: 'acme' } },
    format: { slack: {} },
  });
});

test('leaves out what the coordinator sets', () => {
  const printed = { id: 'x', url: 'https://a', etag: 'e', status: {}, secret: 'whsec_', format: null };
  expect(parseWebhookFile('a.json', JSON.stringify(printed))).toEqual({ url: 'https://a', etag: 'e' });
});

test.each([
  ['', 'a webhook must be a mapping'],
  ['- url: a', 'a webhook must be a mapping'],
  ['description: x', 'url: every webhook needs one'],
  ['url: a\nsecret_headers: {}', 'secret_headers: there is no such field'],
  ['url: [', 'a.yaml: '],
])('refuses %j', (text, message) => {
  expect(() => parseWebhookFile('a.yaml', text)).toThrow(message);
});
