import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { asyncApi } from './events/asyncapi.ts';
import { readContract } from './events/contract.ts';
import { eventTable } from './events/event-table.ts';
import { eventTypes } from './events/event-types.ts';
import { withParts } from './marked-parts.ts';

// node scripts/event-documents.ts           writes what is generated from the contract and the table of moves
// node scripts/event-documents.ts --check   fails when something else stands there

const types = eventTypes(await readContract());
const page = 'docs/events.md';
const yamlOptions = { lineWidth: 120, blockQuote: 'literal', aliasDuplicateObjects: false } as const;
const documents = {
  'docs/asyncapi.yaml': `# Generated from proto/ and the table of moves; npm run generate writes it.\n${stringify(asyncApi(types), yamlOptions)}`,
  [page]: withParts(await textOf(page), { events: () => eventTable(types) }),
};

for (const [document, fresh] of Object.entries(documents)) {
  if (!process.argv.includes('--check')) {
    await writeFile(pathOf(document), fresh);
  } else if ((await textOf(document)) !== fresh) {
    console.error(`${document} is not what the contract and the table of moves generate; run npm run generate`);
    process.exitCode = 1;
  }
}

/** Empty when there is none. */
async function textOf(document: string): Promise<string> {
  try {
    return await readFile(pathOf(document), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}

function pathOf(document: string): string {
  return fileURLToPath(new URL(`../${document}`, import.meta.url));
}
