import { globSync, readFileSync } from 'node:fs';
import { sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { cyclesOf } from './architecture/cycles.ts';
import { violations } from './architecture/rules.ts';
import { parseSource } from './architecture/source.ts';

const linesToSplit = 300;
const linesMax = 400;

const repository = fileURLToPath(new URL('..', import.meta.url));
const everything = globSync('{server,sdk,examples,test,scripts}/**/*.{ts,mts,mjs}', {
  cwd: repository,
  exclude: ['**/node_modules/**', '**/dist/**'],
})
  .map((path) => path.split(sep).join('/'))
  .map((path) => parseSource(path, readFileSync(`${repository}/${path}`, 'utf8')));
/** Tests may reach across, as they put parts together. */
const sources = everything.filter(({ path }) => !path.endsWith('.test.ts') && !path.startsWith('test/'));

describe('the sources', () => {
  it('are found', () => {
    const folders = new Set(sources.map(({ path }) => path.split('/').slice(0, 2).join('/')));
    for (const folder of [
      'server/domain',
      'server/engine',
      'server/store',
      'server/doors',
      'sdk/cli',
      'sdk/typescript',
    ]) {
      expect(folders).toContain(folder);
    }
    const files = new Set(everything.map(({ path }) => path));
    const targets = sources.flatMap(({ imports }) =>
      imports.flatMap((target) => ('file' in target ? [target.file] : [])),
    );
    // An import that is resolved wrongly would pass every rule.
    expect(targets.filter((target) => !files.has(target) && !target.includes('/dist/'))).toEqual([]);
  });

  it('import only what their part may import, and read no clock where the database has it', () => {
    expect(sources.flatMap(violations)).toEqual([]);
  });

  it('import each other in no cycle', () => {
    expect(cyclesOf(sources)).toEqual([]);
  });

  it('are short enough to be read at once', () => {
    const long = everything.filter(({ lines }) => lines > linesToSplit);
    for (const { path, lines } of long) console.warn(`${path} has ${lines} lines: a reason to split it`);
    expect(long.filter(({ lines }) => lines > linesMax).map(({ path }) => path)).toEqual([]);
  });
});

describe('the rules', () => {
  it.each([
    ['server/domain/x.ts', "import { sql } from '../store/database.ts'", 'server/store/database.ts'],
    ['server/domain/x.ts', "import type { Ajv2020 } from 'ajv/dist/2020.js'", 'ajv'],
    ['server/domain/x.ts', "import { hash } from 'node:crypto'", 'node:crypto'],
    ['server/domain/json-schema.ts', "import { create } from '@bufbuild/protobuf'", '@bufbuild/protobuf'],
    ['server/domain/x.ts', "import { parse } from '@bufbuild/cel'", '@bufbuild/cel'],
    ['server/domain/expression/x.ts', "import { create } from '@bufbuild/protobuf'", '@bufbuild/protobuf'],
    ['server/store/x.ts', "import { decide } from '../engine/dispatch.ts'", 'server/engine/dispatch.ts'],
    ['server/store/x.ts', "import type { Task } from '@dstc/contract/dstc/v1/task_pb'", '@dstc/contract'],
    ['server/store/x.ts', "export * from '../auth/policy.ts'", 'server/auth/policy.ts'],
    ['server/store/x.ts', "export { callerOf } from '../doors/context.ts'", 'server/doors/context.ts'],
    ['server/store/x.ts', "const nats = await import('@nats-io/jetstream')", '@nats-io/jetstream'],
    ['server/store/x.ts', "import { sql } from 'drizzle-orm'", 'drizzle-orm'],
    ['server/store/x.ts', "import { pgTable } from 'drizzle-orm/pg-core'", 'drizzle-orm'],
    ['server/store/x.ts', 'const part = await import(name)', 'a computed import'],
    ['server/engine/x.ts', "import { toTask } from '../doors/convert/task.ts'", 'server/doors/convert/task.ts'],
    ['server/engine/x.ts', "import type { Policy } from '../auth/policy.ts'", 'server/auth/policy.ts'],
    ['server/engine/x.ts', "import { Code } from '@connectrpc/connect'", '@connectrpc/connect'],
    ['server/engine/x.ts', "import { status } from '@grpc/grpc-js'", '@grpc/grpc-js'],
    ['server/engine/x.ts', "let task: import('@bufbuild/protobuf').Message", '@bufbuild/protobuf'],
    ['server/auth/x.ts', "import '../doors/grpc.ts'", 'server/doors/grpc.ts'],
    ['server/doors/x.ts', "import { start } from '../coordinator.ts'", 'server/coordinator.ts'],
    ['server/coordinator.ts', "import { serve } from './main.ts'", 'server/main.ts'],
    ['sdk/typescript/src/x.ts', "import { limits } from '../../../server/domain/limits.ts'", 'server/domain/limits.ts'],
    ['sdk/cli/src/commands/x.ts', "import('../../../../server/config.ts')", 'server/config.ts'],
    [
      'sdk/cli/src/x.ts',
      "import { openChannel } from '../../typescript/src/channel.ts'",
      'sdk/typescript/src/channel.ts',
    ],
    ['examples/a/x.ts', "import { Client } from '@grpc/grpc-js'", '@grpc/grpc-js'],
    ['examples/a/x.ts', "import '@dstc/contract/dstc/v1/task_pb'", '@dstc/contract'],
  ])('refuse in %s: %s', (path, text, target) => {
    expect(violations(parseSource(path, text))).toEqual([`${path} imports ${target}`]);
  });

  it.each([
    ['Date.now()', 'Date.now'],
    ['const { now } = { now: Date.now }', 'Date.now'],
    ['new Date()', 'new Date()'],
    ['Date()', 'Date()'],
    ['performance.timeOrigin', 'performance.timeOrigin'],
  ])('refuse a clock in the engine and the domain: %s', (text, clock) => {
    for (const path of ['server/engine/x.ts', 'server/domain/x.ts']) {
      expect(violations(parseSource(path, text))).toEqual([`${path} reads a clock: ${clock}`]);
    }
  });

  it.each([
    ['server/engine/x.ts', 'performance.now(); new Date(0); const text = "Date.now()"; // new Date()'],
    ['server/engine/x.ts', "import { randomUUID } from 'node:crypto'; import { a } from '../domain/a.ts'"],
    ['server/domain/json-schema.ts', "import addFormats from 'ajv-formats'"],
    [
      'server/domain/expression/x.ts',
      "import { strings } from '@bufbuild/cel/ext'; import { limits } from '../limits.ts'",
    ],
    ['server/doors/x.ts', "import { select } from '../store/select.ts'; Date.now()"],
    ['sdk/cli/src/x.ts', "import { createClient } from '@dstc/sdk'"],
    ['examples/a/x.ts', "import { Worker } from '@dstc/sdk'; import exifr from 'exifr'"],
  ])('allow in %s: %s', (path, text) => {
    expect(violations(parseSource(path, text))).toEqual([]);
  });

  it('find a cycle, and tell it from two ways to one file', () => {
    const files = (graph: Record<string, string[]>) =>
      Object.entries(graph).map(([path, to]) =>
        parseSource(path, to.map((target) => `import './${target}'`).join('\n')),
      );
    expect(cyclesOf(files({ 'a.ts': ['b.ts', 'c.ts'], 'b.ts': ['d.ts'], 'c.ts': ['d.ts'], 'd.ts': [] }))).toEqual([]);
    expect(cyclesOf(files({ 'a.ts': ['b.ts'], 'b.ts': ['c.ts'], 'c.ts': ['b.ts'] }))).toEqual([['b.ts', 'c.ts']]);
    expect(cyclesOf(files({ 'a.ts': ['a.ts'] }))).toEqual([['a.ts']]);
  });
});
