import { createInterruption } from './embedded/dev/interruption.ts';
import { terminalScreen } from './embedded/dev/screen.ts';
import { readSettings, usage } from './embedded/dev/settings.ts';
import { start } from './embedded/dev/start.ts';
import { StartError } from './embedded/start-error.ts';

/** `npm start`: everything on this machine, with example tasks done by example workers. */
async function main(): Promise<number> {
  const screen = terminalScreen(process);
  const interrupted = createInterruption(process, () => process.exit(1));
  try {
    const settings = readSettings(process.argv.slice(2), process.env);
    if (!settings.help) return await start({ screen, interrupted }, settings);
    screen.line(usage);
    return 0;
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    screen.problem(error.message);
    return 2;
  }
}

process.exitCode = await main();
