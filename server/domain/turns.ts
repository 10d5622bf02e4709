/**
 * The first tasks of one type when its keys take turns: the first one of each key in the order in which the keys were met,
 * then the second ones, and so on. The tasks of a key come in their order.
 */
export function inTurns<Task extends { readonly limitKey: string; readonly turn: number }>(
  tasks: readonly Task[],
  tasksMax: number,
): Task[] {
  const counts = new Map<string, number>();
  return tasks
    .map((task) => {
      const round = counts.get(task.limitKey) ?? 0;
      counts.set(task.limitKey, round + 1);
      return { task, round };
    })
    .sort((a, b) => a.round - b.round || a.task.turn - b.task.turn)
    .slice(0, tasksMax)
    .map(({ task }) => task);
}
