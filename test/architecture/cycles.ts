import type { Source } from './source.ts';

/** The cycles of imports, each once, as its files in order. Type imports count: a reader follows them too. */
export function cyclesOf(sources: readonly Source[]): readonly (readonly string[])[] {
  const targets = new Map(
    sources.map(({ path, imports }) => [path, imports.flatMap((target) => ('file' in target ? [target.file] : []))]),
  );
  const done = new Set<string>();
  const cycles: string[][] = [];
  const trail: string[] = [];

  function visit(path: string): void {
    if (done.has(path)) return;
    const at = trail.indexOf(path);
    if (at !== -1) {
      cycles.push(trail.slice(at));
      return;
    }
    trail.push(path);
    for (const target of targets.get(path) ?? []) visit(target);
    trail.pop();
    done.add(path);
  }

  for (const path of targets.keys()) visit(path);
  return cycles;
}
