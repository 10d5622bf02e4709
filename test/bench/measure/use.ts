import type { World } from '../world.ts';

/** What work comes to, and the processor time that the coordinator has spent meanwhile. */
export async function cpuDuring<Result>(
  world: World,
  work: () => Promise<Result>,
): Promise<{ result: Result; cpuMicroseconds: number }> {
  const before = await world.use();
  const result = await work();
  const after = await world.use();
  return { result, cpuMicroseconds: after.cpuMicroseconds - before.cpuMicroseconds };
}
