import { defineConfig } from 'vitest/config';

// Tests run on the workspace's sources, like everything else here; the other conditions are Vite's own.
const conditions = ['dstc-source'];

export default defineConfig({
  resolve: { conditions },
  ssr: {
    resolve: {
      conditions: [...conditions, 'module', 'node', 'development|production'],
      externalConditions: conditions,
    },
  },
  test: {
    include: ['{server,sdk,examples,test,scripts}/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    globalSetup: ['./test/setup/global.ts'],
    pool: 'forks',
    execArgv: ['--conditions=dstc-source', '--disable-warning=ExperimentalWarning'],
    // Two cores: the database and the coordinators under test need their share.
    maxWorkers: 2,
    // What ends a test that hangs; no test is about its own length.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // The same for what is waited for: a busy machine is no fault.
    expect: { poll: { timeout: 10_000 } },
    reporters: ['default', './test/reporter.ts'],
    // A forgotten `.only` would turn everything else green.
    allowOnly: false,
  },
});
