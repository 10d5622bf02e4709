import { execFile } from 'node:child_process';
import { mkdtemp, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createCallers } from './caller.ts';
import { createPolicy, type Policy } from './policy.ts';
import { parsePolicy } from './policy-file.ts';
import { principalOf } from './principal.ts';

const text = `
roles:
  producer: [submit, read]
  admin: [submit, configure]
bindings:
  - { role: producer, claims: { client_id: shop, groups: sales }, namespaces: [default], task_types: ['email.*', sms.send] }
  - { role: admin, claims: { sub: root }, namespaces: ['*'], task_types: ['*'] }
`;

const principal = (claims: Record<string, unknown>) =>
  principalOf({ iss: 'https://idp.example', sub: 'ann', exp: Date.now() / 1_000 + 600, ...claims });
const shop = principal({ client_id: 'shop', groups: ['staff', 'sales'] });

let directory: string;
let file: string;
let policy: Policy;
let errors: object[];
const log = { info: () => undefined, warn: () => undefined, error: (fields: object) => void errors.push(fields) };

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dstc-policy-'));
  file = join(directory, 'policy.yaml');
  errors = [];
  await writeFile(file, text);
  policy = await createPolicy({ log }, file);
});
afterEach(async () => {
  policy.close();
  await rm(directory, { recursive: true, force: true });
});

describe('a policy', () => {
  it.each([
    ['what a binding allows', shop, 'submit', 'default', 'email.send', true],
    ['another listed type', shop, 'read', 'default', 'sms.send', true],
    ['an unlisted type', shop, 'submit', 'default', 'sms.bulk', false],
    ['an unlisted permission', shop, 'cancel', 'default', 'email.send', false],
    ['an unlisted namespace', shop, 'submit', 'other', 'email.send', false],
    [
      'a claim that differs',
      principal({ client_id: 'shop2', groups: ['sales'] }),
      'submit',
      'default',
      'email.send',
      false,
    ],
    [
      'a claim that lacks the value',
      principal({ client_id: 'shop', groups: ['staff'] }),
      'submit',
      'default',
      'email.send',
      false,
    ],
    [
      'a claim that holds the value as text',
      principal({ client_id: 'shop', groups: 'sales' }),
      'submit',
      'default',
      'email.send',
      true,
    ],
    [
      'a claim of the prototype',
      principal({ client_id: 'shop', toString: 'sales' }),
      'submit',
      'default',
      'email.send',
      false,
    ],
    ['any namespace', principal({ sub: 'root' }), 'configure', 'anything', 'x', true],
    ['nothing at all', principal({}), 'read', 'default', 'email.send', false],
  ] as const)('decides about %s', (_, who, permission, namespace, taskType, allowed) => {
    expect(policy.decide(who, permission, namespace, taskType)).toBe(allowed);
  });

  it('lists the patterns that a principal holds a permission on', () => {
    expect(policy.patterns(shop, 'submit', 'default')).toEqual(['email.*', 'sms.send']);
    expect(policy.patterns(shop, 'cancel', 'default')).toEqual([]);
    expect(policy.holdsAnywhere(shop, 'submit')).toBe(true);
    expect(policy.holdsAnywhere(shop, 'submit', 'other')).toBe(false);
  });

  it('acts on a changed file within two seconds', async () => {
    const changed = new Promise<void>((resolve) => policy.onChange(resolve));
    const started = performance.now();
    await writeFile(join(directory, 'next'), text.replace('[submit, read]', '[read]'));
    await rename(join(directory, 'next'), file);
    await changed;
    expect(performance.now() - started).toBeLessThan(2_000);
    expect(policy.decide(shop, 'submit', 'default', 'email.send')).toBe(false);
    expect(policy.decide(shop, 'read', 'default', 'email.send')).toBe(true);
  });

  it('acts on a file that was swapped while it was read for the first time', async () => {
    // A pipe is read for as long as its writer likes.
    const pipe = join(directory, 'pipe.yaml');
    await promisify(execFile)('mkfifo', [pipe]);
    const starting = createPolicy({ log }, pipe);
    const writer = await open(pipe, 'w');
    await writeFile(join(directory, 'next'), text.replace('[submit, read]', '[read]'));
    await rename(join(directory, 'next'), pipe);
    await writer.writeFile(text);
    await writer.close();
    const started = await starting;
    try {
      const maySubmit = () => started.decide(shop, 'submit', 'default', 'email.send');
      await expect.poll(maySubmit, { timeout: 3_000 }).toBe(false);
    } finally {
      started.close();
    }
  });

  it.each([
    ['broken', (at: string) => writeFile(at, 'roles: [')],
    ['gone', (at: string) => rm(at)],
  ])('keeps the last good policy while the file is %s', async (_, breakFile) => {
    await breakFile(file);
    await expect.poll(() => errors.length, { timeout: 3_000 }).toBeGreaterThan(0);
    expect(policy.decide(shop, 'submit', 'default', 'email.send')).toBe(true);
  });

  it('ends a binding at its time and says so', async () => {
    const until = new Date(Date.now() + 2_000).toISOString();
    await writeFile(file, text.replace('sms.send] }', `sms.send], until: '${until}' }`));
    await new Promise<void>((resolve) => policy.onChange(resolve));
    const ended = new Promise<void>((resolve) => policy.onChange(resolve));
    expect(policy.decide(shop, 'submit', 'default', 'email.send')).toBe(true);
    await ended;
    expect(policy.decide(shop, 'submit', 'default', 'email.send')).toBe(false);
  });
});

describe('a policy file', () => {
  it('is refused with every mistake in its shape and where it is', () => {
    const wrong = `
roles: { a: [fly], b: read }
bindings: [{ role: a, claims: {}, namespaces: [], task_types: ['*'], when: now }, { role: a }]
more: 1
`;
    expect(() => parsePolicy(wrong, 'policy.yaml')).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(
          /policy\.yaml.*unknown key more.*roles\.a\[0\]: must be one of submit.*roles\.b: must be array.*bindings\[0\].*unknown key when.*bindings\[0\]\.claims.*bindings\[0\]\.namespaces.*bindings\[1\]/s,
        ),
      }),
    );
  });

  it('is refused with every mistake in its content and where it is', () => {
    const wrong = `
roles: { a: [read] }
bindings:
  - { role: ghost, claims: { sub: x }, namespaces: [Default], task_types: ['a*'], until: tomorrow }
`;
    const mistakes = [
      'bindings[0].role',
      'bindings[0].namespaces[0]',
      'bindings[0].task_types[0]',
      'bindings[0].until',
    ];
    for (const mistake of mistakes) expect(() => parsePolicy(wrong, 'policy.yaml')).toThrow(mistake);
  });

  it.each([
    ['2030-02-31T12:00:00Z', false],
    ['2030-02-29T00:00:00+02:00', false],
    ['2030-04-31T23:59:59.5-08:00', false],
    ['2030-13-01T12:00:00Z', false],
    ['2030-01-31T12:00:00', false],
    ['2032-02-29T23:59:59.999Z', true],
    ['2030-01-31T12:00:00+14:00', true],
  ])('takes %s for the end of a binding: %s', (until, takes) => {
    const parse = () => parsePolicy(text.replace('sms.send] }', `sms.send], until: '${until}' }`), 'policy.yaml');
    if (takes) expect(parse()[0]?.untilMs).toBe(Date.parse(until));
    else expect(parse).toThrow('bindings[0].until');
  });

  it('is refused when a key stands twice', () => {
    expect(() => parsePolicy('roles: {}\nroles: {}\nbindings: []', 'policy.yaml')).toThrow(/unique/);
  });

  it('of the embedded start is good', async () => {
    const embedded = new URL('../embedded/policy.yaml', import.meta.url);
    expect(parsePolicy(await readFile(embedded, 'utf8'), 'policy.yaml')).toHaveLength(4);
  });
});

describe('a caller', () => {
  it('is refused with what it lacks and what to ask for', async () => {
    const callers = createCallers({ policy, verifier: { verify: async () => shop } });
    const caller = await callers.fromToken('token', { wantsJson: false });
    caller.require('submit', 'default', 'email.send');
    expect(() => caller.require('cancel', 'default', 'email.send')).toThrow(
      expect.objectContaining({
        reason: 'PERMISSION_MISSING',
        message: expect.stringContaining(
          'permission cancel on task type email.send in namespace default; ask an operator',
        ),
        metadata: { permission: 'cancel', namespace: 'default', task_type: 'email.send' },
      }),
    );
  });

  it('holds a permission everywhere only by one binding on all task types of all namespaces', async () => {
    const types = "  - { role: admin, claims: { sub: types }, namespaces: ['*'], task_types: ['email.*'] }";
    const one = "  - { role: admin, claims: { sub: one }, namespaces: [default], task_types: ['*'] }";
    await writeFile(join(directory, 'next'), [text, types, one].join('\n'));
    await rename(join(directory, 'next'), file);
    await expect
      .poll(() => policy.holdsAnywhere(principal({ sub: 'one' }), 'configure'), { timeout: 5_000 })
      .toBe(true);
    const everywhere = (sub: string) => policy.holdsEverywhere(principal({ sub }), 'configure');
    expect(['root', 'types', 'one', 'nobody'].filter(everywhere)).toEqual(['root']);
    expect(policy.holdsEverywhere(principal({ sub: 'root' }), 'operate')).toBe(false);
    const callers = createCallers({ policy, verifier: { verify: async () => principal({ sub: 'one' }) } });
    const caller = await callers.fromToken('token', { wantsJson: false });
    expect(() => caller.requireEverywhere('configure')).toThrow(
      expect.objectContaining({ message: expect.stringContaining('configure on task type * in namespace *') }),
    );
  });
});
