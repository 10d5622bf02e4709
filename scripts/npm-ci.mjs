import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { readJson, repository } from './repository.mjs';
import { StepFailed } from './slow-step.mjs';

const linesMax = 20;
const outputCharactersMax = 65_536;

/**
 * Whether what is installed under `directory` is what its lockfile asks for. npm itself writes `.package-lock.json` as the
 * last act of an install, so an interrupted one does not pass.
 */
export function isInstalled(directory) {
  const wanted = readJson(directory, 'package-lock.json');
  const installed = readJson(directory, 'node_modules', '.package-lock.json');
  if (wanted === undefined || installed === undefined) return false;
  return Object.entries(wanted.packages).every(([path, entry]) => {
    if (!path.startsWith('node_modules/') || entry.link) return true;
    const found = installed.packages[path];
    if (found !== undefined) return found.version === entry.version && found.integrity === entry.integrity;
    return entry.optional === true && !isForThisMachine(entry);
  });
}

/** Optional packages name the machines they are for; which C library one has is npm's to find out. */
function isForThisMachine({ os, cpu, libc }) {
  const matches = (list, value) => list === undefined || [list].flat().includes(value);
  return (
    (os !== undefined || cpu !== undefined) && matches(os, process.platform) && matches(cpu, process.arch) && !libc
  );
}

/** `npm ci` in `directory`, quiet unless it fails; tells the process id as soon as there is one. */
export async function npmCi(directory, onStart) {
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error', '--include=dev', '--include=optional'];
  // npm names itself to the scripts that it runs; that one is certain to exist and to suit this Node.
  const itself = process.env.npm_execpath;
  const [command, first] = itself?.endsWith('.js') ? [process.execPath, [itself]] : ['npm', []];
  const { code, output } = await run(command, [...first, ...args], { cwd: join(repository, directory), onStart });
  if (code !== 0) {
    throw new StepFailed(
      `npm ci failed in ${join(repository, directory)}. It needs the npm registry, or a filled npm cache.\n${gist(output)}`,
    );
  }
}

/** What npm says before it explains its own usage. */
function gist(output) {
  const lines = output.trim().split('\n');
  const usage = lines.findIndex((line) => line.includes('Clean install a project'));
  return lines
    .slice(0, usage < 0 ? undefined : usage)
    .slice(0, linesMax)
    .join('\n');
}

function run(command, args, { cwd, onStart }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    if (child.pid !== undefined) onStart(child.pid);
    let output = '';
    const collect = (chunk) => {
      if (output.length < outputCharactersMax) output += chunk;
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.once('error', (error) => reject(new StepFailed(`cannot run ${command}: ${error.message}`)));
    child.once('close', (code) => resolve({ code, output }));
  });
}
