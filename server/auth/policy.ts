import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { AuthLog } from './auth-log.ts';
import type { Permission } from './permission.ts';
import { type Binding, parsePolicy } from './policy-file.ts';
import type { Principal } from './principal.ts';
import { matchesPattern, type TypePattern } from './type-pattern.ts';

/** Who may do what. What no binding allows is denied. */
export interface Policy {
  decide(principal: Principal, permission: Permission, namespace: string, taskType: string): boolean;
  /** The patterns of all task types that the principal holds the permission on in the namespace. */
  patterns(principal: Principal, permission: Permission, namespace: string): readonly TypePattern[];
  /** On any task type, and without a namespace in any namespace. */
  holdsAnywhere(principal: Principal, permission: Permission, namespace?: string): boolean;
  /** On all task types of all namespaces. */
  holdsEverywhere(principal: Principal, permission: Permission): boolean;
  /** Which file decides: SHA-256 of its text, in hexadecimal. */
  digest(): string;
  /** Calls back when an answer may have changed, a binding's end included. Returns what ends it. */
  onChange(listener: () => void): () => void;
  close(): void;
}

const pollIntervalMs = 1_000;

/** The policy of a file that is read again within a second of a change; while the file is broken the last good one holds. */
export async function createPolicy(deps: { readonly log: AuthLog }, file: string): Promise<Policy> {
  // Before the text, so that a file that is swapped in between is read again.
  let stamp = await stampOf(file);
  let text = await readFile(file, 'utf8');
  let evaluation = createEvaluation(parsePolicy(text, file));
  let polledAtMs = Date.now();
  const listeners = new Set<() => void>();

  function notify(): void {
    for (const listener of listeners) {
      try {
        listener();
      } catch (err) {
        deps.log.error({ err }, 'a listener to policy changes failed');
      }
    }
  }

  async function reload(): Promise<boolean> {
    const now = await stampOf(file);
    if (now === stamp) return false;
    stamp = now;
    const changed = await readFile(file, 'utf8');
    if (changed === text) return false;
    evaluation = createEvaluation(parsePolicy(changed, file));
    text = changed;
    deps.log.info({ file }, 'the policy has changed');
    return true;
  }

  async function poll(): Promise<void> {
    const sinceMs = polledAtMs;
    polledAtMs = Date.now();
    const ended = evaluation.endsBetween(sinceMs, polledAtMs);
    let changed = false;
    try {
      changed = await reload();
    } catch (err) {
      deps.log.error({ err, file }, 'the policy file cannot be used; the last good one holds');
    }
    if (changed || ended) notify();
  }

  // Polling, as file events get lost on network volumes and when a mounted file is swapped by a symlink.
  let polling = false;
  const timer = setInterval(() => {
    if (polling) return;
    polling = true;
    void poll().finally(() => {
      polling = false;
    });
  }, pollIntervalMs);
  timer.unref();

  return {
    decide: (principal, permission, namespace, taskType) =>
      evaluation
        .held(principal, permission, namespace)
        .some((binding) => binding.patterns.some((pattern) => matchesPattern(pattern, taskType))),
    patterns: (principal, permission, namespace) => [
      ...new Set(evaluation.held(principal, permission, namespace).flatMap((binding) => binding.patterns)),
    ],
    holdsAnywhere: (principal, permission, namespace) => evaluation.held(principal, permission, namespace).length > 0,
    holdsEverywhere: (principal, permission) =>
      evaluation
        .held(principal, permission, undefined)
        .some(({ namespaces, patterns }) => namespaces === undefined && patterns.includes('*')),
    digest: () => createHash('sha256').update(text).digest('hex'),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => clearInterval(timer),
  };
}

/** A file that is swapped within the clock's resolution still has another inode or size. */
async function stampOf(file: string): Promise<string> {
  const { mtimeMs, ctimeMs, size, ino } = await stat(file);
  return `${mtimeMs}:${ctimeMs}:${size}:${ino}`;
}

interface Evaluation {
  held(principal: Principal, permission: Permission, namespace: string | undefined): readonly Binding[];
  endsBetween(fromMs: number, toMs: number): boolean;
}

function createEvaluation(bindings: readonly Binding[]): Evaluation {
  // Which bindings a principal's claims match does not change, and a principal lives as long as its token is cached.
  const matched = new WeakMap<Principal, readonly Binding[]>();

  function matchesOf(principal: Principal): readonly Binding[] {
    const known = matched.get(principal);
    if (known !== undefined) return known;
    const found = bindings.filter((binding) =>
      binding.claims.every(([name, value]) => hasClaim(principal.claims, name, value)),
    );
    matched.set(principal, found);
    return found;
  }

  return {
    held: (principal, permission, namespace) => {
      const nowMs = Date.now();
      return matchesOf(principal).filter(
        (binding) =>
          binding.permissions.has(permission) &&
          nowMs < binding.untilMs &&
          (namespace === undefined || binding.namespaces === undefined || binding.namespaces.has(namespace)),
      );
    },
    endsBetween: (fromMs, toMs) => bindings.some((binding) => binding.untilMs > fromMs && binding.untilMs <= toMs),
  };
}

function hasClaim(claims: Readonly<Record<string, unknown>>, name: string, value: string | number | boolean): boolean {
  if (!Object.hasOwn(claims, name)) return false;
  const claim = claims[name];
  return Array.isArray(claim) ? claim.includes(value) : claim === value;
}
