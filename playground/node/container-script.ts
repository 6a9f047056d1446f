import {
  quoteShell,
  type RootFilesystem,
  rootFilesystemScript,
  rootOf,
} from './root-filesystem.ts';

/** A directory or file of the node that a container sees. */
export interface ContainerMount {
  /** On the node; exists. */
  readonly source: string;
  /** In the container, absolute, without symbolic links that the machine's root has. */
  readonly target: string;
  readonly kind: 'directory' | 'file';
  readonly readOnly: boolean;
  /** `None` sees nothing that is mounted later, `HostToContainer` what the node mounts, `Bidirectional` both ways. */
  readonly propagation: 'None' | 'HostToContainer' | 'Bidirectional';
}

/** As whom a container runs. */
export interface ContainerIdentity {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** Names without `CAP_`, in lower case. `all`: whatever there is. */
  readonly capabilities: readonly string[] | 'all';
  readonly noNewPrivileges: boolean;
}

/** All that is decided about a container before it starts. */
export interface ContainerLaunch {
  readonly filesystem: RootFilesystem;
  readonly mounts: readonly ContainerMount[];
  /** Undefined: the node's. */
  readonly hostname: string | undefined;
  /** The `cgroup.procs` file to enter; undefined where there are none to be had. */
  readonly cgroup: string | undefined;
  readonly environment: ReadonlyMap<string, string>;
  readonly workingDirectory: string;
  /** Program and arguments. */
  readonly command: readonly string[];
  /** Undefined: as the node itself, which in a user namespace with one id is the only choice. */
  readonly identity: ContainerIdentity | undefined;
  readonly readOnlyRoot: boolean;
  /** Sees the node's devices and may change the kernel's settings. */
  readonly privileged: boolean;
  readonly hostProcesses: boolean;
  /** The standard input is a terminal, and the container's own. */
  readonly terminal: boolean;
}

/** What the script says on descriptor 3 before anything else: the process id on the node. */
export const PID_LINE: RegExp = /^pid (\d+)$/m;
/** And after everything else, when nothing went wrong. */
export const READY_LINE = 'ready\n';

const DEVICES = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];
/** Where the node's own file system is while the container's is put together. */
const OLD_ROOT = '.node';

/**
 * A shell script that turns the calling process into the container's. The process is the first one of fresh mount,
 * process, host name and message namespaces, already in the pod's network namespace. The program's standard error is
 * given as descriptor 4: descriptor 2 is that of "unshare", which waits outside. On descriptor 3 it says its process id, what goes wrong, and when the program takes over.
 */
export function containerScript(launch: ContainerLaunch): string {
  const root = rootOf(launch.filesystem);
  const at = (path: string): string => quoteShell(`${root}${path}`);
  return [
    'set -e',
    'exec 2>&3',
    // The node's /proc: that is the number by which the node knows this process.
    'read -r pid rest < /proc/self/stat',
    'echo "pid $pid" >&3',
    ...(launch.cgroup === undefined ? [] : [`echo 0 > ${quoteShell(launch.cgroup)}`]),
    ...rootFilesystemScript(launch.filesystem),
    launch.hostProcesses
      ? `mount --rbind /proc ${at('/proc')}`
      : `mount -t proc proc ${at('/proc')}`,
    ...systemScript(launch, at),
    ...launch.mounts.flatMap((mount) => mountScript(mount, at)),
    `mkdir -p ${at(launch.workingDirectory)} ${at(`/${OLD_ROOT}`)}`,
    `cd ${quoteShell(root)}`,
    `pivot_root . ${OLD_ROOT}`,
    'cd /',
    // Otherwise the node would lose the mounts that it shares with us.
    `mount --make-rslave /${OLD_ROOT}`,
    `umount --lazy /${OLD_ROOT}`,
    `rmdir /${OLD_ROOT}`,
    ...(launch.readOnlyRoot ? readOnlyScript(launch) : []),
    ...(launch.hostname === undefined ? [] : [`hostname ${quoteShell(launch.hostname)}`]),
    ...startScript(launch),
    '',
  ].join('\n');
}

/**
 * What runs in a container that exists already: the arguments of `nsenter`. With a `terminal` as its standard input,
 * its session begins inside: the numbers of process groups that a shell learns from the terminal are of the container.
 */
export function enterCommand(
  pid: number,
  launch: Pick<ContainerLaunch, 'environment' | 'identity' | 'workingDirectory'>,
  command: readonly string[],
  terminal: boolean,
): readonly string[] {
  return [
    'nsenter',
    `--target=${pid}`,
    '--mount',
    '--uts',
    '--ipc',
    '--net',
    '--pid',
    '--',
    ...(terminal ? OWN_SESSION : []),
    ...inDirectory(launch.workingDirectory),
    ...becoming(launch.identity),
    ...withEnvironment(launch.environment),
    ...command,
  ];
}

function systemScript(launch: ContainerLaunch, at: (path: string) => string): readonly string[] {
  const sys = launch.privileged
    ? [`mount --rbind /sys ${at('/sys')}`]
    : [`mount -t sysfs -o ro sysfs ${at('/sys')} 2>/dev/null || mount --rbind /sys ${at('/sys')}`];
  return [
    ...sys,
    ...(launch.privileged ? [`mount --rbind /dev ${at('/dev')}`] : devicesScript(at)),
    // Where its programs find the terminal by a name.
    ...(launch.terminal && !launch.privileged
      ? [
          `touch ${at('/dev/console')}`,
          `mount --bind "$(readlink /proc/self/fd/0)" ${at('/dev/console')}`,
        ]
      : []),
    `touch ${at('/dev/termination-log')} 2>/dev/null || true`,
  ];
}

function devicesScript(at: (path: string) => string): readonly string[] {
  return [
    `mount -t tmpfs -o mode=755 dev ${at('/dev')}`,
    `mkdir ${at('/dev/pts')}`,
    `mkdir -m 1777 ${at('/dev/shm')}`,
    `mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts ${at('/dev/pts')}`,
    `touch ${quoteList(DEVICES.map((name) => at(`/dev/${name}`)))}`,
    ...DEVICES.map((name) => `mount --bind /dev/${name} ${at(`/dev/${name}`)}`),
    `ln -s pts/ptmx ${at('/dev/ptmx')}`,
    `ln -s /proc/self/fd ${at('/dev/fd')}`,
    `ln -s /proc/self/fd/0 ${at('/dev/stdin')}`,
    `ln -s /proc/self/fd/1 ${at('/dev/stdout')}`,
    `ln -s /proc/self/fd/2 ${at('/dev/stderr')}`,
  ];
}

function mountScript(mount: ContainerMount, at: (path: string) => string): readonly string[] {
  const target = at(mount.target);
  const parent = at(mount.target.slice(0, mount.target.lastIndexOf('/')));
  return [
    // There already, unless it is below another mount.
    mount.kind === 'directory'
      ? `[ -d ${target} ] || mkdir -p ${target}`
      : `[ -e ${target} ] || { mkdir -p ${parent}; touch ${target}; }`,
    `mount --rbind ${quoteShell(mount.source)} ${target}`,
    ...(mount.propagation === 'None' ? [`mount --make-rprivate ${target}`] : []),
    ...(mount.propagation === 'HostToContainer' ? [`mount --make-rslave ${target}`] : []),
    ...(mount.readOnly ? [`mount -o remount,bind,ro ${target}`] : []),
  ];
}

function readOnlyScript(launch: ContainerLaunch): readonly string[] {
  const overlaid = launch.filesystem.entries.filter(({ kind }) => kind === 'directory');
  return [
    ...overlaid.map(({ name }) => `mount -o remount,bind,ro /${quoteShell(name)}`),
    'mount -o remount,bind,ro /',
  ];
}

function startScript(launch: ContainerLaunch): readonly string[] {
  const [program = ''] = launch.command;
  const path = launch.environment.get('PATH') ?? DEFAULT_PATH;
  // Not by the shell's own search: what it has built in need not be a program.
  const candidates = program.includes('/')
    ? [program]
    : path.split(':').map((directory) => `${directory || '.'}/${program}`);
  const missing = program.includes('/')
    ? `exec: ${JSON.stringify(program)}: stat ${program}: no such file or directory`
    : `exec: ${JSON.stringify(program)}: executable file not found in $PATH`;
  return [
    `cd ${quoteShell(launch.workingDirectory)}`,
    `found=; for each in ${quoteWords(candidates)}; do if [ -f "$each" ] && [ -x "$each" ]; then found=yes; fi; done`,
    `[ -n "$found" ] || { echo ${quoteShell(missing)} >&3; exit 128; }`,
    // From here on what is said belongs to the program.
    'echo ready >&3',
    'exec 2>&4 3>&- 4>&-',
    `exec ${quoteWords([...(launch.terminal ? OWN_SESSION : []), ...becoming(launch.identity), ...withEnvironment(launch.environment), ...launch.command])}`,
  ];
}

const OWN_SESSION = ['/usr/bin/setsid', '--ctty'];

/** What container images put into PATH unless they say otherwise. */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

function inDirectory(directory: string): readonly string[] {
  return ['/usr/bin/env', `--chdir=${directory}`];
}

function withEnvironment(environment: ReadonlyMap<string, string>): readonly string[] {
  return ['/usr/bin/env', '-i', ...Array.from(environment, ([name, value]) => `${name}=${value}`)];
}

function becoming(identity: ContainerIdentity | undefined): readonly string[] {
  if (identity === undefined) return [];
  const { uid, gid, groups, capabilities, noNewPrivileges } = identity;
  const bounding =
    capabilities === 'all'
      ? []
      : [`--bounding-set=${['-all', ...capabilities.map((name) => `+${name}`)].join(',')}`];
  return [
    '/usr/bin/setpriv',
    `--reuid=${uid}`,
    `--regid=${gid}`,
    groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`,
    '--inh-caps=-all',
    ...bounding,
    ...(noNewPrivileges ? ['--no-new-privs'] : []),
  ];
}

/** In order, words that are equal too. */
function quoteWords(words: readonly string[]): string {
  return words.map((word) => quoteShell(word)).join(' ');
}

function quoteList(quoted: readonly string[]): string {
  return quoted.join(' ');
}
