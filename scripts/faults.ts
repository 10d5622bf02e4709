import { runSteps, tool } from './steps.ts';

// `npm run faults -- <arguments of vitest>`: what is too slow for `npm test`, or says how fast something is.
const args = process.argv.slice(2).filter((arg, index) => index > 0 || arg !== '--');

process.exitCode = (await runSteps([tool('vitest', ['run', '--config', 'vitest.faults.config.ts', ...args])])) ? 0 : 1;
