#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// Plain JavaScript for Node 18, because it runs before anything newer is there. A clone runs the sources on a Node that
// can; an installed package has no sources and runs what was compiled from them.
const source = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const scripts = new URL('../../../scripts/', import.meta.url);

if (existsSync(source)) {
  const { modernNode } = await import(new URL('modern-node.mjs', scripts).href);
  const { runOn } = await import(new URL('run-on.mjs', scripts).href);
  try {
    process.exit(await runOn(await modernNode(), [source, ...process.argv.slice(2)]));
  } catch (error) {
    process.stderr.write(`dstc: ${process.env.DSTC_DEBUG ? error.stack : error.message}\n`);
    process.exit(1);
  }
} else {
  await import('../dist/main.js');
}
