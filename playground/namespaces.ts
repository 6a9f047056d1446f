import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import type { IpAddress } from '#common/net/address.ts';
import { errnoName, fcntl } from '#linux/libc.ts';
import { listenTcp } from '#linux/socket.ts';

import type { PlaygroundConfig } from './config.ts';
import { processStartTime, StateDirectory } from './state-directory.ts';

const F_DUPFD = 0;
/** Shells know descriptors by one digit. */
const DESCRIPTOR_MIN = 20;
const BACKLOG = 511;
const LOOPBACK = '127.0.0.1' as IpAddress;
/** Of a cluster's own. With its first process all others end, whatever happens to us. */
const NAMESPACES = ['--net', '--mount', '--pid', '--fork', '--kill-child'];

/**
 * What the first process of a cluster does: says by which number the machine knows it (the old /proc still tells), sees
 * only its own processes, keeps what is temporary in memory, and collects processes that lose their parents.
 */
const FIRST_PROCESS = [
  'read -r pid rest < /proc/self/stat',
  'mount --make-rprivate /',
  'mount -t proc proc /proc || exit 1',
  'mount -t tmpfs -o mode=755 run /run || exit 1',
  // A first process hears only the signals that it asks for.
  // A shell gives what it starts in the background no input, unless it is called something else.
  'exec 9<&0',
  '"$@" --outside-pid "$pid" <&9 9<&- &',
  'exec 9<&-',
  'child=$!',
  `trap 'kill -TERM $child' TERM INT HUP`,
  'while :; do wait $child; code=$?; kill -0 $child 2>/dev/null || exit $code; done',
].join('\n');

/**
 * Becomes the first process of a cluster's namespaces, which runs this program again. Does not come back. Throws when the
 * cluster runs already, its port is taken, or this machine does not let us make namespaces.
 */
export function enterNamespaces(config: PlaygroundConfig, args: readonly string[]): never {
  const own = process.getuid?.() === 0 ? NAMESPACES : ['--user', '--map-root-user', ...NAMESPACES];
  const trial = spawnSync('unshare', [...own, 'sh', '-c', 'mount -t proc proc /proc'], {
    encoding: 'utf8',
    env: SYSTEM_ENVIRONMENT,
  });
  if (trial.status !== 0) throw new Error(refusal(trial.stderr ?? String(trial.error?.message)));
  const state = new StateDirectory(config.stateDirectory);
  // This process stays as the one that waits for the others to end.
  const standing = state.claim({
    pid: process.pid,
    startTime: processStartTime(process.pid) ?? '',
  });
  if (standing.kind === 'running') {
    throw new Error(
      `a cluster named ${JSON.stringify(config.name)} runs already (process ${standing.owner.pid}); end it with "ambit down --name ${config.name}", or choose another --name`,
    );
  }
  try {
    const listener = openLoopback(config.port);
    const program = fileURLToPath(new URL('main.ts', import.meta.url));
    const again = [process.execPath, program, ...args, '--listener', String(listener)];
    const command = ['sh', '-c', FIRST_PROCESS, 'sh', ...again];
    process.execve?.('/usr/bin/env', ['env', 'unshare', ...own, ...command], SYSTEM_ENVIRONMENT);
    throw new Error('this version of Node cannot become another program');
  } catch (error) {
    state.clean('nothing');
    throw error;
  }
}

/** A socket of the machine's loopback, which keeps its network whoever has it. */
function openLoopback(port: number): number {
  const opened = listenTcp({
    address: { ip: LOOPBACK, port },
    transparent: false,
    reusePort: false,
    backlog: BACKLOG,
  });
  if ('errno' in opened) {
    const why = errnoName(opened.errno);
    const hint =
      why === 'EADDRINUSE' ? 'something else uses it; choose another --port, or none' : why;
    throw new Error(`cannot listen on 127.0.0.1:${port}: ${hint}`);
  }
  // Not closed when another program takes over, and out of the way of shells.
  return fcntl(opened.fd, F_DUPFD, DESCRIPTOR_MIN);
}

const SYSTEM_ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
};

function refusal(said: string): string {
  const asRoot =
    'in a container, start it with "--privileged", or with "--cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined"';
  const asUser =
    'run it as root, or allow user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces)';
  const hint = process.getuid?.() === 0 ? asRoot : asUser;
  return `namespaces cannot be made here (${said.trim()}); ${hint}`;
}
