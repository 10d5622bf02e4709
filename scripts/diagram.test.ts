import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { documents, pathOf, refreshed } from './diagram.ts';

test.each(documents)('%s has the diagram of the moves there are; scripts/diagram.ts writes it', async (document) => {
  const text = await readFile(pathOf(document), 'utf8');
  expect(text).toContain('<!-- diagram:begin -->');
  expect(refreshed(text)).toBe(text);
});

test('what stands around the markers stays, and a document without markers stays as it is', () => {
  const text = 'a\n<!-- diagram:begin -->old<!-- diagram:end -->\nz';
  expect(refreshed(text)).toMatch(/^a\n<!-- diagram:begin -->\n\n```mermaid\nstateDiagram-v2\n/);
  expect(refreshed(text)).toMatch(/```\n\n<!-- diagram:end -->\nz$/);
  expect(refreshed(refreshed(text))).toBe(refreshed(text));
  for (const without of ['a', '<!-- diagram:begin --> and no end']) expect(refreshed(without)).toBe(without);
});
