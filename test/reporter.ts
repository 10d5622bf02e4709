import type { Reporter, TestModule } from 'vitest/node';

/**
 * Ends a run with the titles of what failed, for those who see only the end of a log, and one plain line,
 * `N passed, N failed`, for programs that read it. A file that does not load is a failure.
 */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    let passed = 0;
    const failures = unhandledErrors.map((error) => `unhandled: ${firstLine(error)}`);
    for (const module of modules) {
      failures.push(...module.errors().map((error) => `${module.relativeModuleId}: ${firstLine(error)}`));
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') passed += 1;
        if (state !== 'failed') continue;
        failures.push(`${module.relativeModuleId} > ${test.fullName}: ${firstLine(test.result().errors?.[0])}`);
      }
    }
    const titles = failures.map((failure) => `failed: ${failure}\n`).join('');
    // After the other reporters, which print in this same turn.
    setImmediate(() => process.stdout.write(`\n${titles}${passed} passed, ${failures.length} failed\n`));
  }
}

function firstLine(error: unknown): string {
  const text = error instanceof Object && 'message' in error ? String(error.message) : String(error);
  return text.split('\n', 1)[0] ?? '';
}
