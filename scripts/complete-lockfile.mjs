import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, repository } from './repository.mjs';

const systems = {
  linux: 'linux',
  darwin: 'darwin',
  win32: 'win32',
  android: 'android',
  freebsd: 'freebsd',
  openharmony: 'openharmony',
};
const processors = {
  x64: 'x64',
  arm64: 'arm64',
  aarch64: 'arm64',
  arm: 'arm',
  armv7: 'arm',
  ia32: 'ia32',
  ppc64: 'ppc64',
  riscv64: 'riscv64',
  s390x: 's390x',
};
const libraries = { gnu: 'glibc', gnueabihf: 'glibc', musl: 'musl', musleabihf: 'musl' };

/**
 * Adds the packages for other machines that `npm install` left out of package-lock.json because the registry at hand does
 * not carry them. Without their entries `npm ci` refuses the whole lockfile. They get no checksum, for want of the package;
 * a later install with a registry that has them adds it.
 */
function completeLockfile(lock) {
  const added = [];
  for (const [path, { optionalDependencies = {} }] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      if (isResolved(lock, path, name)) continue;
      const words = name.split(/[-/]/);
      const os = words.map((word) => systems[word]).find(Boolean);
      const cpu = words.map((word) => processors[word]).find(Boolean);
      if (os === undefined || cpu === undefined) throw new Error(`cannot tell which machine ${name} is for`);
      const libc = words.map((word) => libraries[word]).find(Boolean);
      lock.packages[`node_modules/${name}`] = {
        version,
        cpu: [cpu],
        ...(libc !== undefined && { libc: [libc] }),
        optional: true,
        os: [os],
      };
      added.push(name);
    }
  }
  return added;
}

/** Node looks for a package in the node_modules of each directory upwards. */
function isResolved(lock, from, name) {
  for (let path = from; ; path = path.slice(0, Math.max(0, path.lastIndexOf('/node_modules/')))) {
    if (lock.packages[path === '' ? `node_modules/${name}` : `${path}/node_modules/${name}`] !== undefined) return true;
    if (path === '') return false;
  }
}

const lock = readJson('package-lock.json');
const added = completeLockfile(lock);
if (added.length > 0 && process.argv.includes('--check')) {
  console.error(`package-lock.json lacks ${added.join(', ')}; run node scripts/complete-lockfile.mjs`);
  process.exitCode = 1;
} else if (added.length > 0) {
  const [root, ...others] = Object.entries(lock.packages);
  lock.packages = Object.fromEntries([root, ...others.sort(([one], [other]) => one.localeCompare(other, 'en'))]);
  writeFileSync(join(repository, 'package-lock.json'), `${JSON.stringify(lock, undefined, 2)}\n`);
  console.log(`package-lock.json now has ${added.join(', ')}`);
}
