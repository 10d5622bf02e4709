import { runSteps, scriptSucceeds, tool } from './steps.ts';

// Everything that is generated and committed: code from the contract, pictures and tables from the table of moves.
const written = await runSteps([
  tool('buf', ['generate']),
  { title: 'diagram and table of moves', run: () => scriptSucceeds('scripts/diagram.ts', []) },
  { title: 'AsyncAPI document and table of events', run: () => scriptSucceeds('scripts/event-documents.ts', []) },
]);
if (!written) process.exitCode = 1;
