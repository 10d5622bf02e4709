import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newSecret, secretText, signatureHeaders } from '../../server/events/webhooks/signature.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(join(root, 'docs/webhooks.md'), 'utf8');

/** What the page shows in a language. */
function shown(language: string): string {
  return new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'ms').exec(page)?.[1] ?? '';
}

const secret = newSecret();
const message = { id: 'e:1', body: '{"type":"dstc.task.failed.v1","data":{"reason":"Grüße"}}' };

interface Attempt {
  readonly secret: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const good: Attempt = {
  secret: secretText(secret),
  headers: signatureHeaders([newSecret(), secret], { ...message, sentMs: Date.now() }),
  body: message.body,
};
const bad: Readonly<Record<string, Attempt>> = {
  'another secret': { ...good, secret: secretText(newSecret()) },
  'another body': { ...good, body: good.body.replace('failed', 'succeeded') },
  'another id': { ...good, headers: { ...good.headers, 'webhook-id': 'e:2' } },
  'an old timestamp': { ...good, headers: signatureHeaders([secret], { ...message, sentMs: Date.now() - 600_000 }) },
};

const receivers = {
  Node: {
    file: 'receive.mjs',
    program: process.execPath,
    source: `${shown('js')}
const { secret, headers, body } = JSON.parse(process.argv[2]);
console.log(verified(secret, headers, body).type);`,
  },
  Python: {
    file: 'receive.py',
    program: 'python3',
    source: `${shown('python')}
import sys
attempt = json.loads(sys.argv[1])
print(verified(attempt["secret"], attempt["headers"], attempt["body"].encode())["type"])`,
  },
};

let folder: string;
beforeAll(async () => {
  folder = await temporaryDirectory();
  await mkdir(folder, { recursive: true });
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const { file, source } of Object.values(receivers)) await writeFile(join(folder, file), source);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each(Object.entries(receivers))('the receiver that docs/webhooks.md shows for %s', (_, { file, program }) => {
  const receive = (attempt: Attempt) => promisify(execFile)(program, [join(folder, file), JSON.stringify(attempt)]);

  it('takes what is signed', async () => {
    expect((await receive(good)).stdout.trim()).toBe('dstc.task.failed.v1');
  });

  it.each(Object.entries(bad))('refuses %s', async (_name, attempt) => {
    await expect(receive(attempt)).rejects.toMatchObject({ code: 1 });
  });
});
