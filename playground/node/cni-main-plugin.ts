// The playground's main CNI plugin: a veth pair, an address of the node's pod range, routes. A container runtime
// runs it with CNI_… in the environment and the configuration on standard input.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { env, stdin, stdout } from 'node:process';

/** CNI specification 1.0, section 5: well-known codes, and one for what is ours. */
const INCOMPATIBLE_VERSION = 1;
const INVALID_ENVIRONMENT = 4;
const UNPARSABLE = 6;
const INVALID_CONFIGURATION = 7;
const FAILED = 999;

const VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'];

class PluginError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

interface Configuration {
  readonly cniVersion: string;
  /** The node's pods, such as `10.244.0.0/24`. */
  readonly podRange: string;
  /** The first address of the range. */
  readonly gateway: string;
  /** What the node's own connections to its pods come from. */
  readonly nodeAddress: string;
  /** Where it is written down which container has which address: a file per address. */
  readonly dataDirectory: string;
}

/** In the data directory: the address that was given out last. */
const LAST = 'last-claimed';

let cniVersion = '1.0.0';
try {
  const answer = run(env['CNI_COMMAND'] ?? '');
  if (answer !== undefined) stdout.write(`${JSON.stringify(answer)}\n`);
} catch (error) {
  const code = error instanceof PluginError ? error.code : FAILED;
  const msg = error instanceof Error ? error.message : String(error);
  stdout.write(`${JSON.stringify({ cniVersion, code, msg })}\n`);
  process.exitCode = 1;
}

function run(command: string): unknown {
  switch (command) {
    case 'ADD':
      return add(configuration());
    case 'DEL':
      return remove(configuration());
    case 'CHECK':
      return check(configuration());
    case 'GC':
    case 'STATUS':
      configuration();
      return undefined;
    case 'VERSION':
      return { cniVersion, supportedVersions: VERSIONS };
    case '':
      process.stderr.write('The main CNI plugin of the playground; want CNI_COMMAND\n');
      return undefined;
    default:
      throw new PluginError(
        INVALID_ENVIRONMENT,
        `unknown CNI_COMMAND: ${JSON.stringify(command)}; want ADD, DEL, CHECK, GC, STATUS or VERSION`,
      );
  }
}

function add(config: Configuration): unknown {
  const container = required('CNI_CONTAINERID');
  const netns = required('CNI_NETNS');
  const name = required('CNI_IFNAME');
  const address = claim(config, container);
  try {
    const host = hostInterface(container);
    ip(undefined, [`link add ${host} type veth peer name ${name} netns ${netns}`]);
    const prefix = config.podRange.split('/')[1] ?? '24';
    // The gateway's address is on every host end, with no network of its own: pods are reached by their routes.
    ip(undefined, [
      `address add ${config.gateway}/32 dev ${host}`,
      `link set ${host} up`,
      `route add ${address}/32 dev ${host} src ${config.nodeAddress}`,
    ]);
    ip(netns, [
      'link set lo up',
      `address add ${address}/32 dev ${name}`,
      `link set ${name} up`,
      `route add ${config.gateway} dev ${name} scope link`,
      `route add default via ${config.gateway} dev ${name}`,
    ]);
    return {
      cniVersion: config.cniVersion,
      interfaces: [{ name: host }, { name, sandbox: netns }],
      ips: [
        {
          ...(config.cniVersion.startsWith('0.') ? { version: '4' } : {}),
          address: `${address}/${prefix}`,
          gateway: config.gateway,
          interface: 1,
        },
      ],
      routes: [{ dst: '0.0.0.0/0', gw: config.gateway }],
      dns: {},
    };
  } catch (error) {
    remove(config);
    throw error;
  }
}

function check(config: Configuration): undefined {
  const container = required('CNI_CONTAINERID');
  const address = addressOf(config, container);
  if (address === undefined) throw new PluginError(FAILED, `${container} has no address`);
  const found = spawnSync('ip', ['route', 'show', address, 'dev', hostInterface(container)], {
    encoding: 'utf8',
  });
  if (found.status !== 0 || found.stdout.trim() === '') {
    throw new PluginError(FAILED, `the route to ${address} of ${container} is missing`);
  }
}

/** Works without the namespace too, and again: the runtime asks until it is told that all is well. */
function remove(config: Configuration): undefined {
  const container = required('CNI_CONTAINERID');
  const host = hostInterface(container);
  // Gone with its namespace already: nothing to do.
  spawnSync('ip', ['link', 'delete', host], { stdio: 'ignore' });
  const address = addressOf(config, container);
  if (address !== undefined) rmSync(join(config.dataDirectory, address), { force: true });
}

/** Takes the next free address of the range: writing its file down fails when somebody else has it. */
function claim(config: Configuration, container: string): string {
  const existing = addressOf(config, container);
  if (existing !== undefined) {
    throw new PluginError(FAILED, `${container} has the address ${existing} already`);
  }
  const [base = '', bits = ''] = config.podRange.split('/');
  const first = toNumber(base);
  const count = 2 ** (32 - Number(bits));
  const last = lastClaimed(config);
  // After the last one given out: an address that has just become free is not used again at once.
  for (let step = 1; step < count; step++) {
    const offset = (last - first + step) % count;
    // Not the network's own address, the gateway's, or the broadcast address.
    if (offset < 2 || offset === count - 1) continue;
    const address = toText(first + offset);
    try {
      writeFileSync(join(config.dataDirectory, address), container, { flag: 'wx' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
      throw error;
    }
    writeFileSync(join(config.dataDirectory, LAST), address);
    return address;
  }
  throw new PluginError(FAILED, `no IP addresses available in range ${config.podRange}`);
}

function lastClaimed(config: Configuration): number {
  const path = join(config.dataDirectory, LAST);
  return existsSync(path)
    ? toNumber(readFileSync(path, 'utf8'))
    : toNumber(config.podRange.split('/')[0] ?? '') + 1;
}

function addressOf(config: Configuration, container: string): string | undefined {
  return readdirSync(config.dataDirectory).find(
    (file) => file !== LAST && readFileSync(join(config.dataDirectory, file), 'utf8') === container,
  );
}

function configuration(): Configuration {
  let given: Record<string, unknown>;
  try {
    given = JSON.parse(readFileSync(stdin.fd, 'utf8')) as Record<string, unknown>;
  } catch (error) {
    throw new PluginError(UNPARSABLE, `cannot read the configuration: ${String(error)}`);
  }
  const text = (name: string): string => {
    const value = given[name];
    if (typeof value === 'string' && value !== '') return value;
    throw new PluginError(INVALID_CONFIGURATION, `the configuration has no text ${name}`);
  };
  cniVersion = text('cniVersion');
  if (!VERSIONS.includes(cniVersion)) {
    throw new PluginError(
      INCOMPATIBLE_VERSION,
      `incompatible CNI versions: config is ${JSON.stringify(cniVersion)}, plugin supports ${JSON.stringify(VERSIONS)}`,
    );
  }
  const podRange = text('podRange');
  if (!/^\d+\.\d+\.\d+\.\d+\/(?:[89]|1\d|2\d)$/.test(podRange)) {
    throw new PluginError(INVALID_CONFIGURATION, `podRange ${JSON.stringify(podRange)}`);
  }
  const dataDirectory = text('dataDirectory');
  mkdirSync(dataDirectory, { recursive: true });
  return {
    cniVersion,
    podRange,
    gateway: text('gateway'),
    nodeAddress: text('nodeAddress'),
    dataDirectory,
  };
}

function required(name: string): string {
  const value = env[name];
  if (value !== undefined && value !== '') return value;
  throw new PluginError(INVALID_ENVIRONMENT, `required env variables [${name}] missing`);
}

/** Interface names have 15 characters at most. */
function hostInterface(container: string): string {
  return `veth${createHash('sha256').update(container).digest('hex').slice(0, 8)}`;
}

function ip(netns: string | undefined, lines: readonly string[]): void {
  const command = ['ip', '-batch', '-'];
  const [program = '', ...args] =
    netns === undefined ? command : ['nsenter', `--net=${netns}`, '--', ...command];
  const result = spawnSync(program, args, { encoding: 'utf8', input: `${lines.join('\n')}\n` });
  if (result.status === 0) return;
  throw new PluginError(FAILED, `${command.join(' ')}: ${result.stderr.trim()}`);
}

function toNumber(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

function toText(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
}
