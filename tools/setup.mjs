// Makes the machine ready for an npm script: `node tools/setup.mjs demo|check|test|bench|up`. Runs
// before the project's own Node is there: plain JavaScript, no package, Node 20 or newer.
// Says what it installs; says nothing and takes milliseconds when all is there.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Oldest Node that runs the project's TypeScript and has what the data path needs. */
const NODE_MAJOR_MIN = 26;

/** Command → Debian package that brings it. */
const packageOf = {
  ip: 'iproute2',
  nft: 'nftables',
  nsenter: 'util-linux',
  unshare: 'util-linux',
  openssl: 'openssl',
  curl: 'curl',
  tcpdump: 'tcpdump',
  nghttp: 'nghttp2-client',
  h2load: 'nghttp2-client',
  haproxy: 'haproxy',
  wrk: 'wrk',
  iperf3: 'iperf3',
  nginx: 'nginx-light',
  kubectl: 'kubernetes-client',
};

const namespaces = ['ip', 'nft', 'nsenter', 'unshare'];
const commandsFor = {
  check: ['openssl', 'curl', 'nghttp', 'h2load'],
  test: [...namespaces, 'openssl', 'curl', 'nghttp', 'h2load', 'tcpdump', 'kubectl'],
  demo: [...namespaces, 'kubectl', 'curl'],
  up: namespaces,
  bench: [...namespaces, 'openssl', 'curl', 'h2load', 'haproxy', 'wrk', 'iperf3', 'nginx'],
};

const root = dirname(dirname(fileURLToPath(import.meta.url)));

main(process.argv[2] ?? '');

function main(purpose) {
  const commands = commandsFor[purpose];
  if (commands === undefined) {
    fail(
      `Unknown purpose "${purpose}": want one of ${Object.keys(commandsFor).join(', ')}, as in "npm run demo"`,
    );
    return;
  }
  if (process.platform !== 'linux') {
    fail(
      `Ambit works with Linux network namespaces; this is ${process.platform}. Use a Linux machine, a virtual machine or WSL 2.`,
    );
    return;
  }
  let ready;
  try {
    ready = installPackages();
  } catch (error) {
    fail(error.message);
  }
  if (!ready) return;
  if (!checkNode()) return;
  if (!installCommands(purpose, commands)) return;
  // Type checks and the like start nothing of ours.
  if (purpose !== 'check') compile();
}

function installPackages() {
  const stale = firstDifference();
  if (stale === undefined) return true;
  if (!isWritable(root)) {
    fail(
      `${stale}, and ${root} is not writable: "npm ci" needs a writable folder. Copy the project to one, or become its owner.`,
    );
    return false;
  }
  say(`running "npm ci" (${stale})`);
  // Errors only: the packages ask for a newer Node than npm's own, and get it by being installed.
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const done = spawnSync('npm', ['ci', ...options], { cwd: root, stdio: 'inherit' });
  if (done.status === 0) return true;
  fail('"npm ci" failed, see above. It needs a reachable npm registry and about 700 MB of disk.');
  return false;
}

/** What of package-lock.json is not in node_modules as it should be; undefined when all is. */
function firstDifference() {
  const wanted = packagesOf(join(root, 'package-lock.json'));
  if (wanted === undefined) return undefined; // nothing to compare with: leave it to npm
  if (!existsSync(join(root, 'node_modules'))) return 'node_modules is missing';
  const stamp = 'node_modules/.package-lock.json';
  if (!existsSync(join(root, stamp))) return `${stamp} is missing`;
  const present = stampedPackages(join(root, stamp));
  if (present === undefined) return `${stamp} is damaged`;
  for (const [path, { version, optional }] of Object.entries(wanted)) {
    if (path === '') continue;
    const found = present[path];
    // npm leaves out optional packages that are for another kind of machine.
    if (found === undefined && optional) continue;
    if (found?.version !== version) {
      return `${path} is ${found?.version ?? 'missing'}, package-lock.json wants ${version}`;
    }
  }
  // The stamp says what npm has put there, not whether somebody has removed it since.
  const gone = directDependencies(wanted).find(
    (path) => present[path] !== undefined && !existsSync(join(root, path, 'package.json')),
  );
  return gone === undefined ? undefined : `${gone} is damaged`;
}

function directDependencies(wanted) {
  const { dependencies, devDependencies, optionalDependencies } = wanted[''] ?? {};
  const names = Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies });
  return names.map((name) => `node_modules/${name}`);
}

/** Undefined without a lockfile; throws an error that names it when it can't be read. */
function packagesOf(lockfile) {
  if (!existsSync(lockfile)) return undefined;
  try {
    return objectOrThrow(JSON.parse(readFileSync(lockfile, 'utf8')).packages);
  } catch (error) {
    throw new Error(
      `Cannot read ${lockfile}: ${error.message}. Restore it (git checkout package-lock.json)`,
      { cause: error },
    );
  }
}

/** What npm noted about node_modules; undefined when that note was cut or spoilt. */
function stampedPackages(stamp) {
  try {
    return objectOrThrow(JSON.parse(readFileSync(stamp, 'utf8')).packages);
  } catch {
    return undefined;
  }
}

function objectOrThrow(value) {
  if (typeof value === 'object' && value !== null) return value;
  throw new Error('it has no "packages"');
}

/** The lockfile brings Node itself, as a package, for x64 and arm64 with glibc; elsewhere the machine's must do. */
function checkNode() {
  if (existsSync(join(root, 'node_modules/.bin/node'))) return true;
  const major = Number(process.versions.node.split('.')[0]);
  if (major >= NODE_MAJOR_MIN) return true;
  fail(
    `Node ${NODE_MAJOR_MIN} or newer is needed and node_modules has none for ${process.platform}-${process.arch}; this is ${process.version}. If that is x64 or arm64 with glibc, run "npm ci --include=optional"; otherwise install it from nodejs.org.`,
  );
  return false;
}

function installCommands(purpose, commands) {
  const missing = commands.filter((command) => !isInstalled(command));
  if (missing.length === 0) return true;
  const packages = [...new Set(missing.map((command) => packageOf[command]))];
  const install = `apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  if (!isInstalled('apt-get')) {
    fail(
      `"npm run ${purpose}" needs the commands ${missing.join(', ')}; install them (on Debian: packages ${packages.join(', ')}).`,
    );
    return false;
  }
  if (process.getuid?.() !== 0) {
    fail(
      `"npm run ${purpose}" needs the commands ${missing.join(', ')}, which only root can install. Run: sudo sh -c 'apt-get update && ${install}'`,
    );
    return false;
  }
  say(`installing ${packages.join(', ')} with apt-get (for ${missing.join(', ')})`);
  if (!aptGet(['update']) || !aptGet(install.split(' ').slice(1))) return false;
  const still = missing.filter((command) => !isInstalled(command));
  if (still.length === 0) return true;
  fail(`Still missing after the installation: ${still.join(', ')}`);
  return false;
}

/** The project's programs start quicker, and smaller, from code that is compiled already. */
function compile() {
  const compiler = join(root, 'tools/compile.ts');
  const cache = join(root, 'node_modules/.cache');
  const place = existsSync(cache) ? cache : join(root, 'node_modules');
  // Without it, or where it can't be written, everything works all the same.
  if (!existsSync(compiler) || !isWritable(place)) return;
  const done = join(cache, 'compiled/.complete');
  if (existsSync(done) && !hasNewerSources(root, statSync(done).mtimeMs)) return;
  say('compiling');
  const brought = join(root, 'node_modules/.bin/node');
  spawnSync(existsSync(brought) ? brought : process.execPath, [compiler], { stdio: 'inherit' });
}

/** Hidden folders and packages do not count. */
function hasNewerSources(folder, sinceMs) {
  return readdirSync(folder, { withFileTypes: true }).some((entry) => {
    const { name } = entry;
    if (name.startsWith('.') || name === 'node_modules') return false;
    if (entry.isDirectory()) return hasNewerSources(join(folder, name), sinceMs);
    return name.endsWith('.ts') && statSync(join(folder, name)).mtimeMs > sinceMs;
  });
}

function aptGet(args) {
  const done = spawnSync('apt-get', ['-q', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  if (done.status === 0) return true;
  fail(`"apt-get ${args.join(' ')}" failed: ${done.stderr?.trim() || done.error?.message}`);
  return false;
}

function isInstalled(command) {
  // Plain users of Debian do not have the sbin folders in PATH, the commands work all the same.
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => isExecutable(join(folder, command)));
}

function isExecutable(path) {
  return isAccessible(path, constants.X_OK);
}

function isWritable(path) {
  return isAccessible(path, constants.W_OK);
}

function isAccessible(path, mode) {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

function say(text) {
  console.log(`set-up: ${text}`);
}

function fail(text) {
  console.error(`set-up: ${text}`);
  process.exitCode = 1;
}
