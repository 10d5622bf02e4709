import { computedImport, type Import, type Source } from './source.ts';

/** What the files of one part may import. Parts follow the folders; what no part holds is free. */
interface Part {
  readonly folder: string;
  /** Folders and files of this repository. */
  readonly files: readonly string[];
  /** Packages, or those that are not: `undefined` allows all. */
  readonly packages?: readonly RegExp[];
  readonly notPackages?: readonly RegExp[];
  readonly readsNoClock?: boolean;
}

/** The contract's generated code, and everything that carries it. */
const transport = [
  /^@dstc\/contract$/,
  /^@grpc\//,
  /^@connectrpc\//,
  /^@bufbuild\//,
  /^node:(http|https|http2|net|tls)$/,
];
const messaging = [/^@nats-io\//, /^nats$/];

const parts: readonly Part[] = [
  // Expressions are CEL, and nothing else needs to know.
  {
    folder: 'server/domain/expression/',
    files: ['server/domain/'],
    packages: [/^@bufbuild\/cel$/],
    readsNoClock: true,
  },
  { folder: 'server/domain/', files: ['server/domain/'], packages: [], readsNoClock: true },
  {
    folder: 'server/store/',
    files: ['server/domain/', 'server/store/'],
    // Its guard of sockets is why it may know of them.
    notPackages: [...transport.filter((pattern) => !pattern.test('node:net')), ...messaging, /^drizzle-orm$/],
  },
  {
    folder: 'server/engine/',
    files: ['server/domain/', 'server/store/', 'server/engine/'],
    notPackages: [...transport, ...messaging],
    readsNoClock: true,
  },
  { folder: 'server/auth/', files: ['server/domain/', 'server/auth/'], notPackages: [...transport, ...messaging] },
  {
    folder: 'server/events/',
    // What an event looks like outside is said in one place; hints go up here, and on to other nodes.
    files: ['server/domain/', 'server/store/', 'server/engine/wake.ts', 'server/events/', 'server/doors/convert/'],
    notPackages: [/^@grpc\//, /^@connectrpc\//],
  },
  {
    folder: 'server/doors/',
    files: ['server/domain/', 'server/store/', 'server/engine/', 'server/events/', 'server/auth/', 'server/doors/'],
    notPackages: messaging,
  },
  { folder: 'sdk/typescript/', files: ['sdk/typescript/'] },
  { folder: 'sdk/cli/', files: ['sdk/cli/', 'sdk/typescript/src/index.ts'] },
  { folder: 'examples/', files: ['examples/', 'sdk/typescript/src/index.ts'], notPackages: [/^@dstc\//, ...transport] },
];

/** The one place where each of these is needed. */
const exceptions: Readonly<Record<string, readonly string[]>> = {
  'server/domain/json-schema.ts': ['ajv', 'ajv-formats'],
  // Loads it in a way of its own.
  'server/store/drizzle.ts': ['drizzle-orm'],
  // Runs what was built, or else the sources.
  'sdk/cli/bin/dstc.mjs': [computedImport],
};

/** Everything that a source does and may not, as sentences. */
export function violations(source: Source): readonly string[] {
  const part = parts.find(({ folder }) => source.path.startsWith(folder));
  const found = source.imports.flatMap((target) => {
    if ('file' in target && target.file === 'server/main.ts') return [`${source.path} imports ${target.file}`];
    return part === undefined || mayImport(part, source.path, target)
      ? []
      : [`${source.path} imports ${nameOf(target)}`];
  });
  if (part?.readsNoClock) found.push(...source.clocks.map((clock) => `${source.path} reads a clock: ${clock}`));
  return found;
}

function mayImport(part: Part, path: string, target: Import): boolean {
  if ('file' in target) return part.files.some((allowed) => target.file.startsWith(allowed));
  const name = target.package;
  if (exceptions[path]?.includes(name)) return true;
  if (name === computedImport) return false;
  const isNamed = part.packages?.some((pattern) => pattern.test(name)) ?? true;
  return isNamed && !part.notPackages?.some((pattern) => pattern.test(name));
}

function nameOf(target: Import): string {
  return 'file' in target ? target.file : target.package;
}
