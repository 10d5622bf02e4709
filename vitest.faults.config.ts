import base from './vitest.config.ts';

/** Whole processes against a Postgres that syncs to disk, one scenario after the other: they measure. */
export default {
  ...base,
  test: {
    ...base.test,
    include: ['test/faults/scenarios/*.scenario.ts'],
    globalSetup: [],
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 120_000,
  },
};
