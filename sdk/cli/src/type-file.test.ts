import { expect, test } from 'vitest';
import { parseTypeFile } from './type-file.ts';

test('reads YAML with durations that have units', () => {
  const [type] = parseTypeFile(
    't.yaml',
    `
name: email.send
inputSchema: { type: object }
retry: { attemptsMax: 3, initialDelay: 500ms, delayMax: 1m, nonRetryableCodes: [BAD_ADDRESS] }
deadlines: { run: 30s }
limits: { key: { label: tenant }, concurrencyMax: 5, ratePerKey: { tasks: 10, interval: 1m, burst: 2 }, queueMax: 100 }
retention: 7d
`,
  );
  expect(type).toEqual({
    name: 'email.send',
    inputSchema: { type: 'object' },
    retry: { attemptsMax: 3, initialDelayMs: 500, delayMaxMs: 60_000, nonRetryableCodes: ['BAD_ADDRESS'] },
    deadlines: { runMs: 30_000 },
    limits: {
      key: { label: 'tenant' },
      concurrencyMax: 5,
      ratePerKey: { tasks: 10, intervalMs: 60_000, burst: 2 },
      queueMax: 100,
    },
    retentionMs: 604_800_000,
  });
});

test('reads back what was printed as JSON, and leaves out what the coordinator sets', () => {
  const printed = {
    name: 'a',
    namespace: 'default',
    priority: 4,
    etag: 'x',
    createTime: '2030-01-01T00:00:00Z',
    retry: { attemptsMax: 5 },
  };
  expect(parseTypeFile('t.json', JSON.stringify([printed]))).toEqual([
    { name: 'a', priority: 4, etag: 'x', retry: { attemptsMax: 5 } },
  ]);
});

test('reads several documents', () => {
  expect(parseTypeFile('t.yaml', 'name: a\n---\nname: b\n').map(({ name }) => name)).toEqual(['a', 'b']);
});

test.each([
  ['', 't.yaml is empty'],
  ['[', 't.yaml: Flow sequence'],
  ['just text', 'must be a mapping'],
  ['description: x', 't.yaml: name: every task type needs one'],
  ['name: a\nretries: 5', 't.yaml: a.retries: there is no such field; there are name, description'],
  ['name: a\nretry: { initialDelay: soon }', 't.yaml: a.retry.initialDelay: "soon" is no duration'],
  ['name: a\nretry: 5', 't.yaml: a.retry: must be a mapping'],
  ['name: a\nlimits: { rate: { burst: 2 } }', 't.yaml: a.limits.rate.tasks: every rate needs it'],
  ['name: a\nlimits: { concurrency: 2 }', 't.yaml: a.limits.concurrency: there is no such field'],
  ['name: a\npriority: high', 't.yaml: a.priority: must be a number'],
])('refuses %j and says where and why', (text, message) => {
  expect(() => parseTypeFile('t.yaml', text)).toThrow(message);
});
