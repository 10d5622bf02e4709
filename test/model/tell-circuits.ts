import { selectTick } from '../../server/store/tick.ts';
import type { System } from './system.ts';

/**
 * Has every probe that has ended looked after, and then has every node add the ends that it has counted. A node that has
 * counted nothing looks first: one that adds before it looks may find a circuit half open that closes right after.
 */
export async function tellCircuits({ nodes, onlooker }: Pick<System, 'nodes' | 'onlooker'>): Promise<void> {
  // A node looks after its probes at once, by itself.
  await Promise.all(nodes.map(({ idle }) => idle()));
  const { shut } = await onlooker.database.run((sql) => selectTick(sql, [], []));
  for (const { engine } of [onlooker, ...nodes]) await engine.circuits.turn(shut);
}
