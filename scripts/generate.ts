import { runSteps, scriptSucceeds, tool } from './steps.ts';

// Everything that is generated and committed: code from the contract, pictures and tables from the table of moves.
const written = await runSteps([
  tool('buf', ['generate']),
  { title: 'diagram and table of moves', run: () => scriptSucceeds('scripts/diagram.ts', []) },
]);
if (!written) process.exitCode = 1;
