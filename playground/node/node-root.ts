import {
  quoteAll,
  quoteShell,
  type RootEntry,
  rootFilesystemScript,
  rootOf,
} from './root-filesystem.ts';

/** How a node's file system is put together. All paths are those of the machine. */
export interface NodeRoot {
  readonly hostname: string;
  /** A directory to mount the node's memory on; made when it is not there. */
  readonly scratch: string;
  /** Of the machine's root directory. */
  readonly entries: readonly RootEntry[];
  readonly userNamespace: boolean;
  /** The directory of this program. */
  readonly project: string;
  /** The program `node`. */
  readonly nodeProgram: string;
  /** Directories of the machine, and where the node sees them. */
  readonly binds: readonly { readonly source: string; readonly target: string }[];
}

/** Where things are on a node that are not there on a real one. */
export const PROJECT = '/ambit/project';
export const NODE_PROGRAM = '/ambit/node';
/** The machine's own root: what containers' file systems are made from. */
export const MACHINE_ROOT = '/ambit/host';
/** A directory per container, not shared with anything. */
export const CONTAINERS_DIRECTORY = '/ambit/containers';

/**
 * A shell script that gives the calling process (in fresh mount, process and host name namespaces, in the node's
 * network namespace) the node's file system, and runs its arguments: it stays as the node's
 * first process, which ends with them and collects the processes that lose their parents.
 *
 * The node's root is shared, as on real nodes, so that mounts made on the node or by a container with
 * bidirectional propagation are seen by the others. What containers are built in is not.
 */
export function nodeRootScript(node: NodeRoot): string {
  const filesystem = {
    lower: '',
    entries: node.entries,
    scratch: node.scratch,
    directories: node.binds.map(({ target }) => target),
    files: [],
    userNamespace: node.userNamespace,
  };
  const root = rootOf(filesystem);
  const at = (path: string): string => quoteShell(`${root}${path}`);
  return [
    'set -e',
    'mount --make-rprivate /',
    `mkdir -p ${quoteShell(node.scratch)}`,
    `mount -t tmpfs -o mode=755 node ${quoteShell(node.scratch)}`,
    ...rootFilesystemScript(filesystem),
    `mkdir ${at('/ambit')}`,
    `mount -t tmpfs -o mode=755 ambit ${at('/ambit')}`,
    `mkdir ${quoteAll([PROJECT, MACHINE_ROOT, CONTAINERS_DIRECTORY].map((path) => `${root}${path}`))}`,
    `touch ${at(NODE_PROGRAM)}`,
    `mount --rbind ${quoteShell(node.project)} ${at(PROJECT)}`,
    `mount --bind ${quoteShell(node.nodeProgram)} ${at(NODE_PROGRAM)}`,
    `mount -t tmpfs -o mode=755 run ${at('/run')}`,
    `mkdir ${at('/run/netns')}`,
    `mount -t proc proc ${at('/proc')}`,
    // Of the node's own network namespace; where that is refused, the machine's.
    `mount -t sysfs sysfs ${at('/sys')} 2>/dev/null || mount --rbind /sys ${at('/sys')}`,
    `[ ! -d ${at('/sys/fs/cgroup')} ] || mount --rbind /sys/fs/cgroup ${at('/sys/fs/cgroup')}`,
    `mount --rbind /dev ${at('/dev')}`,
    ...node.binds.map(({ source, target }) => `mount --bind ${quoteShell(source)} ${at(target)}`),
    `cd ${quoteShell(root)}`,
    `pivot_root . .${MACHINE_ROOT}`,
    'cd /',
    'mount --make-rshared /',
    'mount --make-rprivate /ambit',
    `hostname ${quoteShell(node.hostname)}`,
    '"$@"',
    'exit $?',
  ].join('\n');
}
