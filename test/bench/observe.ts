/**
 * Loaded into the coordinator's process beside its main.ts: tells its parent what it uses, when asked. Works on every
 * system, and only costs something when it is asked.
 */
export interface ResourceUse {
  readonly kind: 'use';
  readonly cpuMicroseconds: number;
  readonly residentBytes: number;
  readonly residentBytesMax: number;
}

process.on('message', (message) => {
  if (message !== 'use') return;
  const { user, system } = process.cpuUsage();
  const use: ResourceUse = {
    kind: 'use',
    cpuMicroseconds: user + system,
    residentBytes: process.memoryUsage.rss(),
    residentBytesMax: process.resourceUsage().maxRSS * 1024,
  };
  process.send?.(use);
});
