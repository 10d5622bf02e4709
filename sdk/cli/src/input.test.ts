import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readInput, readJsonLines } from './input.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dstc-input-'));
});
afterAll(() => rm(folder, { recursive: true }));

const stdin = (text = '') => Readable.from([Buffer.from(text)]);
const json = (text: string) => ({ data: Buffer.from(text), contentType: 'application/json' });

async function fileWith(text: string): Promise<string> {
  const path = join(folder, 'input');
  await writeFile(path, text);
  return path;
}

test('sends JSON as it was written, large numbers too', async () => {
  expect(await readInput(stdin(), { input: '{"id": 12345678901234567890}' }, false)).toEqual(
    json('{"id": 12345678901234567890}'),
  );
  expect(await readInput(stdin('[1]'), {}, true)).toEqual(json('[1]'));
  expect(await readInput(stdin('[1]'), { input: '-' }, false)).toEqual(json('[1]'));
  expect(await readInput(stdin('[1]'), { inputFile: '-' }, false)).toEqual(json('[1]'));
  expect(await readInput(stdin(), { inputFile: await fileWith('"x"') }, false)).toEqual(json('"x"'));
});

test('sends other media types as bytes', async () => {
  expect(await readInput(stdin('a,b'), { contentType: 'text/csv' }, true)).toEqual({
    data: Buffer.from('a,b'),
    contentType: 'text/csv',
  });
});

test('sends nothing when nothing is given', async () => {
  expect(await readInput(stdin('ignored'), {}, false)).toBeUndefined();
});

test('refuses an input that is given twice, is not JSON, or has a type that it cannot have', async () => {
  await expect(readInput(stdin(), { input: '1', inputFile: 'x' }, false)).rejects.toThrow('give the input once');
  await expect(readInput(stdin('{'), {}, true)).rejects.toThrow(/^stdin is not JSON: /);
  await expect(readInput(stdin(), { input: '1', contentType: 'text/csv' }, false)).rejects.toThrow('--input is JSON');
});

test('refuses bytes that are no UTF-8 where JSON is expected, and takes them elsewhere', async () => {
  const bytes = Buffer.from('{"name":"\xff\xfe"}', 'latin1');
  await expect(readInput(Readable.from([bytes]), {}, true)).rejects.toThrow('stdin is not UTF-8');
  const path = join(folder, 'latin1');
  await writeFile(path, bytes);
  await expect(readInput(stdin(), { inputFile: path }, false)).rejects.toThrow(`${path} is not UTF-8`);
  await expect(readJsonLines(stdin(), { jsonl: path })).rejects.toThrow(`${path} is not UTF-8`);
  await expect(readJsonLines(Readable.from([bytes]), {})).rejects.toThrow('stdin is not UTF-8');
  const contentType = 'application/octet-stream';
  expect(await readInput(Readable.from([bytes]), { contentType }, true)).toEqual({ data: bytes, contentType });
});

test('names the flags of the command', async () => {
  const names = { what: 'data', text: '--data', file: '--data-file' };
  await expect(readInput(stdin(), { input: '{bad' }, false, names)).rejects.toThrow(/^--data is not JSON: /);
  const twice = readInput(stdin(), { input: '1', inputFile: 'x' }, false, names);
  await expect(twice).rejects.toThrow('give the data once: --data, --data-file, or - for stdin');
});

test('reads one input from each line and remembers its number', async () => {
  const jsonl = await fileWith('{"a":1}\n\n{"a":2}\r\n');
  expect(await readJsonLines(stdin(), { jsonl })).toEqual([
    { line: 1, input: json('{"a":1}') },
    { line: 3, input: json('{"a":2}') },
  ]);
});

test('refuses the whole file for one bad line, and names it', async () => {
  const jsonl = await fileWith('1\n2\nthree\n');
  await expect(readJsonLines(stdin(), { jsonl })).rejects.toThrow(/input, line 3 is not JSON/);
  await expect(readJsonLines(stdin('\n'), { jsonl: '-' })).rejects.toThrow('stdin has no lines');
});
