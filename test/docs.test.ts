import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WorkRequestSchema, WorkResponseSchema } from '@dstc/contract/dstc/v1/worker_service_pb';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { permissions } from '../server/auth/permission.ts';
import { parsePolicy } from '../server/auth/policy-file.ts';
import { readConfig } from '../server/config.ts';
import { codeOfReason } from '../server/domain/errors.ts';
import { runProgram } from './clients/run-program.ts';
import { startTestCoordinator, type TestCoordinator } from './setup/coordinator.ts';

const repository = fileURLToPath(new URL('..', import.meta.url));
const read = (name: string) => readFileSync(join(repository, name), 'utf8');

/** The cells of every row of a page's tables, without the code marks. */
function rowsOf(page: string): string[][] {
  return [...page.matchAll(/^\| ?(.+) \|$/gm)].map(([, row = '']) => row.split(' | ').map((cell) => cell.trim()));
}
const code = (cell: string | undefined) => /^`([^`]*)`$/.exec(cell ?? '')?.[1];
/** What stands in a page as code of a language. */
const blocksOf = (page: string, language: string) =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map(([, block = '']) => block);

describe('docs/configuration.md', () => {
  const required = { DATABASE_URL: 'postgres://db', DSTC_POLICY_FILE: 'policy.yaml', DSTC_ISSUER: 'https://issuer' };
  /** Every variable that the code looks at, and what comes out without it. */
  function settingsOfCode() {
    const variables = new Set<string>();
    const get = (target: object, name: string): string | undefined => {
      variables.add(name);
      return Reflect.get(target, name);
    };
    const config = readConfig(new Proxy<Record<string, string>>(required, { get }));
    variables.delete('DSTC_CONFIG_FILE');
    return { variables, config };
  }
  const rows = rowsOf(read('docs/configuration.md')).filter(([variable]) => code(variable) !== undefined);

  it('has every setting there is, by its name in the environment and in the file', () => {
    const { variables } = settingsOfCode();
    expect(rows.map(([variable]) => code(variable)).toSorted()).toEqual([...variables].toSorted());
    for (const [variable = '', key] of rows) {
      expect(code(key)).toBe(
        code(variable)
          ?.toLowerCase()
          .replace(/^dstc_/, ''),
      );
    }
  });

  it('has the defaults of the code', () => {
    const { config } = settingsOfCode();
    const values = new Map<string, unknown>(Object.entries(config));
    for (const [variable = '', key = '', byDefault = ''] of rows) {
      const name = (code(key) ?? '').replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
      if (byDefault.startsWith('required') || name === 'nodeName' || name === 'audience') continue;
      const value = values.get(name);
      const text = value === undefined || (Array.isArray(value) && value.length === 0) ? 'none' : `\`${value}\``;
      expect([variable, byDefault]).toEqual([variable, text]);
    }
    expect(config.issuers).toEqual([{ issuer: 'https://issuer', audience: 'dstc' }]);
  });

  it('has a file that a node would start with', () => {
    const [example = ''] = blocksOf(read('docs/configuration.md'), 'yaml');
    const file: Record<string, unknown> = parseYaml(example);
    const settings = Object.keys(file).filter((key) => key !== 'issuers');
    const { variables } = settingsOfCode();
    const known = [...variables].map((name) => name.toLowerCase().replace(/^dstc_/, ''));
    expect(settings.filter((key) => !known.includes(key))).toEqual([]);
    expect(Object.keys(Object.assign({}, ...(file.issuers as object[]))).toSorted()).toEqual(
      [
        'issuer',
        'audience',
        'algorithms',
        'typ',
        'jwksUri',
        'clockToleranceSeconds',
        'maxAgeSeconds',
        'requiredClaims',
      ].toSorted(),
    );
  });
});

describe('docs/security.md', () => {
  it('has every permission and no other', () => {
    const named = rowsOf(read('docs/security.md')).flatMap(([cell = '']) =>
      [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name),
    );
    expect(named.toSorted()).toEqual([...permissions].toSorted());
  });

  it('has a policy that a node would start with', () => {
    const [example = ''] = blocksOf(read('docs/security.md'), 'yaml');
    expect(parsePolicy(example, 'policy.yaml')).toHaveLength(3);
  });
});

describe('docs/errors.md', () => {
  it('has every reason with its code and no other', () => {
    const rows = rowsOf(read('docs/errors.md')).flatMap(([reason, status]) =>
      code(reason) === undefined ? [] : [[code(reason), status]],
    );
    expect(rows).toEqual(Object.entries(codeOfReason));
  });
});

describe('docs/worker-protocol.md', () => {
  it.each([...WorkRequestSchema.fields, ...WorkResponseSchema.fields].map((field) => field.message?.name ?? ''))(
    'says what %s is for',
    (name) => expect(read('docs/worker-protocol.md')).toContain(`\`${name}\``),
  );
});

describe('docs/guarantees.md', () => {
  const page = read('docs/guarantees.md').replace(/\n/g, ' ');
  const shown = [...page.matchAll(/\[([^\]]+)\]\(\.\.\/([^)]+\.(?:test|scenario)\.ts)\)/g)]
    .map(([, title = '', file = '']) => ({ title, file }))
    // A file as a whole may be called by its first word.
    .filter(({ title }) => title.includes(' '));

  it('names tests', () => expect(shown.length).toBeGreaterThan(30));

  it.each(shown)('names a test that is there: $title', ({ title, file }) => {
    expect([`'${title}'`, `\`${title}\``].some((text) => read(file).includes(text))).toBe(true);
  });
});

describe('every page', () => {
  const pages = [
    'README.md',
    'CONTRIBUTING.md',
    ...readdirSync(join(repository, 'docs')).map((name) => `docs/${name}`),
  ].filter((name) => name.endsWith('.md'));

  it.each(pages)('%s links to what is there', (page) => {
    const headings = (name: string) =>
      [...read(name).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
        title
          .toLowerCase()
          .replace(/[^\w\- ]/g, '')
          .replaceAll(' ', '-'),
      );
    const links = [...read(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
    const broken = links.filter((link) => {
      if (/^https?:/.test(link)) return false;
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? page : join(dirname(page), path);
      if (!existsSync(join(repository, target))) return true;
      return anchor !== undefined && !headings(target).includes(anchor);
    });
    expect(broken).toEqual([]);
  });
});

const tools = await runProgram('bash', ['-c', 'command -v curl && command -v jq']).catch(() => undefined);

// In CI they must be there: see .ci/run.
describe.skipIf(process.env.CI === undefined && tools?.code !== 0)(
  'commands of the docs (need bash, curl and jq)',
  () => {
    let coordinator: TestCoordinator;
    beforeAll(async () => {
      coordinator = await startTestCoordinator();
    });
    afterAll(() => coordinator.stop());

    /** Runs the commands of a page and answers with what they print. */
    async function run(page: string): Promise<string> {
      const [operator, producer, worker] = await Promise.all(
        (['operator', 'producer', 'worker'] as const).map((client) => coordinator.token(client)),
      );
      const own = { URL: coordinator.httpUrl, OPERATOR: operator, PRODUCER: producer, WORKER: worker };
      const script = blocksOf(read(page), 'bash').join('\n');
      const { code: status, text } = await runProgram('bash', ['-euo', 'pipefail', '-c', script], {
        ...process.env,
        ...own,
      });
      expect({ status, text }).toMatchObject({ status: 0 });
      return text;
    }

    it('in http-json.md work one after the other', { timeout: 60_000 }, async () => {
      expect(await run('docs/http-json.md')).toMatch(/TASK_STATE_PENDING.*TASK_EVENT_KIND_SUCCEEDED worker@/s);
    });

    it('in events-in.md work one after the other', { timeout: 60_000 }, async () => {
      // Each of them says whether it came out as the page says.
      expect((await run('docs/events-in.md')).match(/^true$/gm)).toHaveLength(8);
    });

    it('in operations.md find the metrics that a node has, and no other', async () => {
      const headers = { authorization: `Bearer ${await coordinator.token('operator')}` };
      const metrics = await (await fetch(`${coordinator.httpUrl}/metrics`, { headers })).text();
      const names = [...metrics.matchAll(/^# TYPE (dstc_\w+)/gm)].map(([, name]) => name);
      const documented = rowsOf(read('docs/operations.md')).flatMap(([cell]) => code(cell) ?? []);
      expect(documented.filter((name) => name.startsWith('dstc_')).toSorted()).toEqual(names.toSorted());
    });

    it('in operations.md are SQL that the database takes', async () => {
      const sql = postgres(coordinator.databaseUrl, { max: 1 });
      for (const block of blocksOf(read('docs/operations.md'), 'sql')) await sql.unsafe(block);
      await sql.end();
    });
  },
);
