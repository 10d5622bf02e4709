import { checks } from './checks.ts';
import { runSteps, tool } from './steps.ts';

// `npm test -- <arguments of vitest>`; npm takes one `--` away, and people type a second one.
const args = process.argv.slice(2).filter((arg, index) => index > 0 || arg !== '--');

process.exitCode = (await runSteps([...checks, tool('vitest', ['run', ...args])])) ? 0 : 1;
