import { contractIsCompatible } from './contract-compatibility.ts';
import { generatedCodeIsFresh } from './generated-code.ts';
import { type Step, scriptSucceeds, tool } from './steps.ts';

/** What needs no running part: style, types, left-overs, and the contract against its last release. */
export const checks: readonly Step[] = [
  { title: 'lockfile is complete', run: () => scriptSucceeds('scripts/complete-lockfile.mjs', ['--check']) },
  tool('biome', ['check', '--error-on-warnings']),
  tool('tsc', ['-p', 'tsconfig.json'], 'tsc'),
  tool('knip', []),
  tool('buf', ['lint']),
  contractIsCompatible,
  generatedCodeIsFresh,
  {
    title: 'AsyncAPI document is fresh',
    run: () => scriptSucceeds('scripts/event-documents.ts', ['--check']),
  },
];
