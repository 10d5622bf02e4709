import { parseDocument } from 'yaml';
import { namespacePattern } from '../domain/namespace.ts';
import type { Permission } from './permission.ts';
import { type ClaimValue, checkShape, type PolicyDocument } from './policy-schema.ts';
import { isTypePattern, type TypePattern } from './type-pattern.ts';

/** A role given to whoever has the claims. */
export interface Binding {
  readonly permissions: ReadonlySet<Permission>;
  readonly claims: readonly (readonly [name: string, value: ClaimValue])[];
  /** `undefined` means every namespace. */
  readonly namespaces: ReadonlySet<string> | undefined;
  readonly patterns: readonly TypePattern[];
  readonly untilMs: number;
}

/** The bindings of a policy file in YAML or JSON. Throws one error that lists every mistake with its path. */
export function parsePolicy(text: string, name: string): readonly Binding[] {
  const yaml = parseDocument(text, { uniqueKeys: true });
  if (yaml.errors.length > 0)
    throw policyError(
      name,
      yaml.errors.map((error) => error.message.trimEnd()),
    );
  const shape = checkShape(yaml.toJS({ maxAliasCount: 100 }));
  if ('mistakes' in shape) throw policyError(name, shape.mistakes);
  const mistakes = contentMistakes(shape.document);
  if (mistakes.length > 0) throw policyError(name, mistakes);
  return shape.document.bindings.map((binding) => compile(shape.document, binding));
}

function contentMistakes(document: PolicyDocument): readonly string[] {
  const mistakes: string[] = [];
  document.bindings.forEach((binding, index) => {
    const path = `bindings[${index}]`;
    if (!Object.hasOwn(document.roles, binding.role)) mistakes.push(`${path}.role: there is no role ${binding.role}`);
    binding.namespaces.forEach((namespace, at) => {
      if (namespace !== '*' && !namespacePattern.test(namespace)) {
        mistakes.push(`${path}.namespaces[${at}]: ${JSON.stringify(namespace)} is neither a namespace nor *`);
      }
    });
    binding.task_types.forEach((pattern, at) => {
      if (!isTypePattern(pattern)) {
        mistakes.push(
          `${path}.task_types[${at}]: ${JSON.stringify(pattern)} is not *, a name, or a name with .* at its end`,
        );
      }
    });
    if (binding.until !== undefined && !isTimestamp(binding.until)) {
      mistakes.push(`${path}.until: ${JSON.stringify(binding.until)} is not a timestamp such as 2030-01-31T12:00:00Z`);
    }
  });
  return mistakes;
}

/**
 * RFC 3339 with its offset, as a time without one would depend on the machine. `Date.parse` takes 31 February for 3 March, so
 * the day must come back as it was written.
 */
function isTimestamp(text: string): boolean {
  const match = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (match === null || Number.isNaN(Date.parse(text))) return false;
  const [, day = ''] = match;
  const dayMs = Date.parse(`${day}T00:00:00Z`);
  return new Date(dayMs).toISOString().startsWith(day);
}

function compile(document: PolicyDocument, binding: PolicyDocument['bindings'][number]): Binding {
  return {
    permissions: new Set(document.roles[binding.role] ?? []),
    claims: Object.entries(binding.claims),
    namespaces: binding.namespaces.includes('*') ? undefined : new Set(binding.namespaces),
    patterns: binding.task_types,
    untilMs: binding.until === undefined ? Number.POSITIVE_INFINITY : Date.parse(binding.until),
  };
}

function policyError(name: string, mistakes: readonly string[]): Error {
  return new Error(`the policy file ${name} is not valid:\n${mistakes.map((mistake) => `  ${mistake}`).join('\n')}`);
}
