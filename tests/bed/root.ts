import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

/** How often to look whether whoever started us still lives. */
const PARENT_POLL_MS = 500;

export type Standing =
  /** Root, real or of a user namespace of our own: go on. */
  | { readonly kind: 'root' }
  /** The program has run as root of a user namespace and has ended: take over its exit code. */
  | { readonly kind: 'done'; readonly exitCode: number }
  /** Neither is possible here; the text says what to do. */
  | { readonly kind: 'refused'; readonly what: string };

/**
 * Gets what network namespaces, veth pairs and nftables need. As root there is nothing to do. A
 * plain user gets user, network and mount namespaces of their own, in which `command` runs
 * again: there it is root, sees no network of the machine, and leaves nothing behind.
 */
export async function becomeRoot(
  command: readonly string[] = [process.execPath, ...process.execArgv, ...process.argv.slice(1)],
): Promise<Standing> {
  if (process.getuid?.() === 0) return standingOfRoot();
  let refusal = '';
  for (const namespaces of namespaceOptions) {
    const trial = spawnSync('unshare', [...namespaces, 'true'], { encoding: 'utf8' });
    if (trial.status === 0) return { kind: 'done', exitCode: await runInside(namespaces, command) };
    refusal = trial.stderr?.trim() || String(trial.error?.message);
  }
  return { kind: 'refused', what: explain(refusal) };
}

/**
 * Best first. Private mounts let network namespaces have names (`ip netns` keeps them below /run). A
 * private process namespace ends every process of ours together with the first; some containers
 * refuse the /proc that it needs.
 */
const namespaceOptions = [
  [
    '--user',
    '--map-root-user',
    '--net',
    '--mount',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
  ],
  ['--user', '--map-root-user', '--net', '--mount', '--fork', '--kill-child'],
];

/**
 * Names and temporary files live in memory that goes away with the namespace. The shell stays as the first
 * process: that one ignores signals which it does not handle, and the command must not.
 */
const INSIDE =
  'mount -t tmpfs none /run && mkdir -m 700 /run/tmp && export TMPDIR=/run/tmp && "$@"; exit $?';

function standingOfRoot(): Standing {
  const trial = spawnSync('unshare', ['--net', 'true'], { encoding: 'utf8' });
  if (trial.status === 0) return { kind: 'root' };
  return {
    kind: 'refused',
    what:
      `root may not create network namespaces here (${trial.stderr.trim() || trial.error?.message}). ` +
      'In a container, start it with "--privileged", or with "--cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined"',
  };
}

async function runInside(
  namespaces: readonly string[],
  command: readonly string[],
): Promise<number> {
  const child = spawn('unshare', [...namespaces, 'sh', '-c', INSIDE, 'sh', ...command], {
    stdio: 'inherit',
    env: environmentInside(),
  });
  // The terminal sends this one to everybody: the command inside cleans up, we wait for it.
  process.on('SIGINT', () => undefined);
  // unshare ignores them; with its end the kernel ends everything inside.
  let endedBy: 'SIGTERM' | 'SIGHUP' | undefined;
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      endedBy ??= signal;
      child.kill('SIGKILL');
    });
  }
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once('error', reject);
  child.once('exit', (code) =>
    resolve(endedBy === undefined ? (code ?? 1) : 128 + constants.signals[endedBy]),
  );
  return promise;
}

/** npm does not pass SIGTERM on: who started us being gone is as good as the signal. */
export function endWithParent(): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    // By the signal, so that what handles it (a user namespace's keeper) does.
    if (process.ppid !== parent) process.kill(process.pid, 'SIGTERM');
  }, PARENT_POLL_MS);
  timer.unref();
}

function environmentInside(): NodeJS.ProcessEnv {
  const outside = process.env;
  // A plain user of Debian does not have the sbin folders in PATH.
  return { ...outside, PATH: `${outside['PATH'] ?? ''}:/usr/sbin:/sbin` };
}

function explain(refusal: string): string {
  const ways: string[] = [];
  if (setting('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') === '1') {
    ways.push(
      'allow user namespaces: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0',
    );
  }
  if (setting('/proc/sys/kernel/unprivileged_userns_clone') === '0') {
    ways.push('allow user namespaces: sudo sysctl -w kernel.unprivileged_userns_clone=1');
  }
  if (setting('/proc/sys/user/max_user_namespaces') === '0') {
    ways.push('allow user namespaces: sudo sysctl -w user.max_user_namespaces=10000');
  }
  // All the switches that stand against it have to be turned.
  const advice =
    ways.length === 0
      ? 'Run it as root (sudo)'
      : `Either run it as root (sudo), or ${ways.join(', and ')}`;
  return `this needs root or a user namespace, and the kernel refused the second (${refusal}). ${advice}`;
}

function setting(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined; // this kernel has no such switch
  }
}
