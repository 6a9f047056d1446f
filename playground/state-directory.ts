import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

import { flock } from '#linux/libc.ts';

/** The process that a cluster hangs on. Its start time tells it from another one that got its number later. */
export interface ClusterOwner {
  readonly pid: number;
  readonly startTime: string;
  /** Control groups of the cluster, to be removed when it has gone. */
  readonly cgroups?: string;
}

/** Keys, settings and the first logs; a cluster that runs for days writes more. */
const FREE_BYTES_MIN = 16 << 20;

const LOCK_EXCLUSIVE = 2;

class FullDisk extends Error {
  readonly code = 'ENOSPC';
}

export type ClusterStanding =
  /** Nobody has it. */
  | { readonly kind: 'free' }
  /** It runs. */
  | { readonly kind: 'running'; readonly owner: ClusterOwner }
  /** Whoever had it has gone without cleaning up. */
  | { readonly kind: 'left'; readonly owner: ClusterOwner };

const OWNER_FILE = 'owner.json';
/**
 * A cluster's directory, `<base>/<name>`:
 *
 *     owner.json         the process that it hangs on, while it runs
 *     kubeconfig         of the administrator
 *     pki/               keys and certificates
 *     log/               of supervisor and API server
 *     nodes/<node>/      settings, plugin chain, log of the kubelet; log/ has those of the containers
 *
 * Everything else of a cluster is in namespaces and goes with its processes. At a cluster's end the directory is removed,
 * but for the logs of one that could not start.
 */
export class StateDirectory {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Throws when it can't be made or written to, with what is wrong with it; then it is not there. */
  prepare(freeBytesOf: (path: string) => number = freeBytes): void {
    this.#orSay(() => {
      // Not recursive: that answers ENOENT for a file system that cannot be written to.
      if (!existsSync(this.path)) mkdirSync(this.path, { mode: 0o700 });
      try {
        if (freeBytesOf(this.path) < FREE_BYTES_MIN) throw new FullDisk();
      } catch (error) {
        rmdirSync(this.path);
        throw error;
      }
      const probe = join(this.path, '.probe');
      writeFileSync(probe, 'x'.repeat(4_096));
      rmSync(probe);
    });
  }

  file(...names: readonly string[]): string {
    return join(this.path, ...names);
  }

  /** A directory in it, made when it is not there. */
  directory(...names: readonly string[]): string {
    const path = this.file(...names);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  }

  standing(startTimeOf: (pid: number) => string | undefined = processStartTime): ClusterStanding {
    const path = this.file(OWNER_FILE);
    if (!existsSync(path)) return { kind: 'free' };
    let owner: ClusterOwner;
    try {
      owner = JSON.parse(readFileSync(path, 'utf8')) as ClusterOwner;
    } catch {
      // Cut off while it was written: whoever wrote it is not there any more.
      owner = { pid: 0, startTime: '' };
    }
    const isRunning = owner.pid > 0 && startTimeOf(owner.pid) === owner.startTime;
    return { kind: isRunning ? 'running' : 'left', owner };
  }

  /** Takes it for `owner`, cleaned, unless somebody has it who still runs. Answers how it was found. */
  claim(owner: ClusterOwner): ClusterStanding {
    const decide = (): ClusterStanding => {
      const standing = this.standing();
      if (standing.kind === 'running') return standing;
      this.#clean('nothing');
      this.prepare();
      this.record(owner);
      return standing;
    };
    return this.#orSay(() => this.#alone(decide));
  }

  /** Writes down another process of the same owner, on which the cluster hangs from now on. */
  record(owner: ClusterOwner): void {
    const path = this.file(OWNER_FILE);
    writeFileSync(`${path}.new`, JSON.stringify(owner), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  /** Removes what our run has left, its control groups included. Its processes must have gone. */
  clean(keep: 'nothing' | 'logs'): void {
    this.#alone(() => this.#clean(keep));
  }

  /** Removes what a run has left, unless it is still running. */
  sweep(): void {
    if (!existsSync(this.path)) return;
    this.#alone(() => {
      if (this.standing().kind !== 'running') this.#clean('nothing');
    });
  }

  #clean(keep: 'nothing' | 'logs'): void {
    const standing = this.standing();
    if (standing.kind !== 'free') removeCgroups(standing.owner.cgroups);
    if (!existsSync(this.path)) return;
    const kept = keep === 'logs' ? new Set(['log', 'nodes']) : new Set<string>();
    const names = readdirSync(this.path);
    for (const name of names.filter((each) => !kept.has(each))) {
      rmSync(this.file(name), { recursive: true, force: true });
    }
    if (!names.some((each) => kept.has(each))) rmdirSync(this.path);
  }

  /** What it answers is decided by one process at a time, whatever the cluster's name. */
  #alone<T>(decide: () => T): T {
    const base = dirname(this.path);
    mkdirSync(base, { recursive: true, mode: 0o700 });
    const fd = openSync(base, 'r');
    try {
      flock(fd, LOCK_EXCLUSIVE);
      return decide();
    } finally {
      closeSync(fd);
    }
  }

  #orSay<T>(use: () => T): T {
    try {
      return use();
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      // Not of the system: it says what is wrong.
      if (code === undefined) throw error;
      const hints = new Map([
        ['ENOSPC', `the disk is full, want ${FREE_BYTES_MIN >> 20} MB`],
        ['EACCES', 'it belongs to somebody else'],
        ['EPERM', 'it belongs to somebody else'],
        ['EROFS', 'it cannot be written to'],
        ['ENOTDIR', 'a part of the path is a file'],
        ['EEXIST', 'a file is in its place'],
      ]);
      throw new Error(
        `Cannot use the state directory ${JSON.stringify(this.path)}: ${hints.get(code) ?? message}`,
        { cause: error },
      );
    }
  }
}

function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

/** Field 22 of /proc/PID/stat: when the process was started, in ticks since boot. Undefined: there is none. */
export function processStartTime(pid: number): string | undefined {
  const path = `/proc/${pid}/stat`;
  if (!existsSync(path)) return undefined;
  const stat = readFileSync(path, 'utf8');
  // The second field, the name, is in parentheses and may have spaces.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

/** Removes control groups, innermost first. One that something is still in stays. */
export function removeCgroups(directory: string | undefined): void {
  if (directory === undefined || !existsSync(directory)) return;
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    if (statSync(path).isDirectory()) removeCgroups(path);
  }
  try {
    rmdirSync(directory);
  } catch (error) {
    // Something is still ending in there; the next run takes it away.
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
  }
}
