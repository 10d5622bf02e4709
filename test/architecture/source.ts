import { dirname, join, normalize } from 'node:path/posix';
import { parseSync, Visitor } from 'oxc-parser';

/** What the rules need to know of one file. Paths are relative to the repository. */
export interface Source {
  readonly path: string;
  readonly lines: number;
  readonly imports: readonly Import[];
  /** Readings of a clock: `Date.now()`, `new Date()`, …; not `performance.now()`, which measures durations. */
  readonly clocks: readonly string[];
}

/** A file of the repository, or a package with its name alone; Node's own are `node:…`. */
export type Import = { readonly file: string } | { readonly package: string };

/** What the workspace calls its own packages. */
const workspace: Readonly<Record<string, string>> = { '@dstc/sdk': 'sdk/typescript/src/index.ts' };

/** Stands for the package of an import whose name is computed. */
export const computedImport = 'a computed import';

/** Parses a source, with its type imports, re-exports and dynamic imports. Throws when it cannot be parsed. */
export function parseSource(path: string, text: string): Source {
  const { module, program, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path}: ${errors.map(({ message }) => message).join('; ')}`);
  const specifiers = [
    ...module.staticImports.map(({ moduleRequest }) => moduleRequest.value),
    ...module.staticExports.flatMap(({ entries }) =>
      entries.flatMap(({ moduleRequest }) => moduleRequest?.value ?? []),
    ),
  ];
  const clocks: string[] = [];
  new Visitor({
    ImportExpression({ source }) {
      // What is computed cannot be judged, and so must not be.
      specifiers.push(source.type === 'Literal' ? String(source.value) : computedImport);
    },
    TSImportType({ source }) {
      specifiers.push(source.value);
    },
    NewExpression({ callee, arguments: given }) {
      if (callee.type === 'Identifier' && callee.name === 'Date' && given.length === 0) clocks.push('new Date()');
    },
    CallExpression({ callee }) {
      if (callee.type === 'Identifier' && callee.name === 'Date') clocks.push('Date()');
    },
    MemberExpression({ object, property }) {
      if (object.type !== 'Identifier' || property.type !== 'Identifier') return;
      const name = `${object.name}.${property.name}`;
      if (name === 'Date.now' || name === 'performance.timeOrigin') clocks.push(name);
    },
  }).visit(program);
  const imports = [...new Set(specifiers)].map((specifier) => resolve(path, specifier));
  return { path, lines: text.split('\n').length - 1, imports, clocks };
}

function resolve(from: string, specifier: string): Import {
  if (specifier.startsWith('.')) return { file: normalize(join(dirname(from), specifier)) };
  const own = workspace[specifier];
  if (own !== undefined) return { file: own };
  if (specifier.startsWith('node:')) return { package: specifier };
  const [scope = '', name = ''] = specifier.split('/');
  return { package: scope.startsWith('@') ? `${scope}/${name}` : scope };
}
