/** A step of the bootstrap that failed for a reason the person at the terminal can act on. */
export class StepFailed extends Error {}

/**
 * Runs a step that may take seconds and says so: first what happens and why, then how long it took. Standard error, so
 * that the output of the command itself stays clean for a pipe.
 */
export async function slowStep(title, work) {
  const started = performance.now();
  process.stderr.write(`${title} … `);
  try {
    const result = await work();
    process.stderr.write(`${((performance.now() - started) / 1000).toFixed(1)} s\n`);
    return result;
  } catch (error) {
    process.stderr.write('failed\n');
    throw error;
  }
}
