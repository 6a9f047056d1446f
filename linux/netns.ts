import { fstatSync, openSync, writeSync } from 'node:fs';
import { networkInterfaces } from 'node:os';

import { invariant } from '#common/assert.ts';

import {
  AF_INET,
  abort,
  close,
  EINVAL,
  EPERM,
  errno,
  errnoName,
  fcntl,
  ioctl,
  O_CLOEXEC,
  open,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  setns,
  socket,
} from './libc.ts';
import { setMark } from './socket.ts';

const CLONE_NEWNET = 0x40000000;
/** ioctl_ns(2): answers the CLONE_NEW… flag of a namespace's descriptor. */
const NS_GET_NSTYPE = 0xb703;
const F_DUPFD_CLOEXEC = 1030;

/** The namespace in which this thread was started; opened at the first switch, closed with the thread. */
let home: number | undefined;
/** Where the thread is now, while some `inNetns` runs on it. */
let inside: number | undefined;

/**
 * Opens a network namespace by path (`/run/netns/…`, `/proc/<pid>/ns/net`). The descriptor is closed with
 * `close` of `linux/libc.ts`, on any thread. Throws when the path can't be opened.
 */
export function openNetns(path: string): number {
  const fd = open(path, O_CLOEXEC);
  if (fd >= 0) return fd;
  throw new Error(
    `Cannot open the network namespace ${JSON.stringify(path)}: ${errnoName(errno())}`,
  );
}

/**
 * Which namespace a descriptor stands for, as `device:inode`. Two descriptors with the same id are the same
 * namespace as long as either is open; after that the kernel may give the inode to a new one.
 */
export function netnsId(fd: number): string {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return `${dev}:${ino}`;
}

export function isNetns(fd: number): boolean {
  return ioctl(fd, NS_GET_NSTYPE, 0) === CLONE_NEWNET;
}

/** Another descriptor of the same namespace, not inherited by child processes; -errno when there is no room. */
export function duplicateNetns(fd: number): number {
  const copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return copy < 0 ? -errno() : copy;
}

/**
 * Has no interface with an address but loopback: what is left of a pod's namespace when the pod has gone and
 * only descriptors keep it alive. Throws like {@link inNetns}.
 */
export function isDeserted(fd: number): boolean {
  return inNetns(fd, () =>
    Object.values(networkInterfaces()).every((addresses) =>
      (addresses ?? []).every(({ internal }) => internal),
    ),
  );
}

/**
 * Runs `work` with the calling thread inside the network namespace `fd` and answers what it returned. What
 * `work` creates (sockets, child processes) stays in that namespace for ever.
 *
 * `work` is synchronous: after an `await` something else of this thread would run in the wrong namespace, so
 * a returned promise is an error. If the thread can't be brought back, the process aborts: everything that
 * it would do from then on would happen in somebody else's network.
 *
 * Throws when the namespace can't be entered, or what `work` throws.
 */
export function inNetns<T>(fd: number, work: () => T): T {
  // Opened by Node, which closes it when the thread ends.
  home ??= openSync('/proc/thread-self/ns/net', 'r');
  const back = inside ?? home;
  if (setns(fd, CLONE_NEWNET) < 0) throw cannotEnter(fd, errno());
  inside = fd;
  let result: T;
  try {
    result = work();
  } finally {
    if (setns(back, CLONE_NEWNET) < 0) abortStranded(errno());
    inside = back === home ? undefined : back;
  }
  invariant(
    !isThenable(result),
    'work inside a network namespace is synchronous; it returned a promise',
  );
  return result;
}

/**
 * Tries what in-pod mode needs, before the first pod does: switching namespaces, and marking sockets, by
 * which the pod's rules tell our traffic from the application's. Throws an error that names the missing
 * capability.
 */
export function selfCheckNetns(): void {
  const own = openNetns('/proc/thread-self/ns/net');
  try {
    inNetns(own, () => undefined);
  } finally {
    close(own);
  }
  const probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) throw new Error(`Cannot create a socket: ${errnoName(errno())}`);
  const marked = setMark(probe, 1);
  close(probe);
  if (marked === 0) return;
  const hint = marked === -EPERM ? '; run as root or with CAP_NET_ADMIN' : '';
  throw new Error(`Cannot set a packet mark (SO_MARK) on a socket: ${errnoName(marked)}${hint}`);
}

function cannotEnter(fd: number, code: number): Error {
  const hints = new Map([
    [EPERM, '; run as root or with CAP_SYS_ADMIN'],
    [EINVAL, '; want a descriptor of a network namespace'],
  ]);
  const hint = hints.get(code) ?? '';
  return new Error(
    `Cannot enter the network namespace of descriptor ${fd} (setns): ${errnoName(code)}${hint}`,
  );
}

function abortStranded(code: number): never {
  writeSync(2, `Cannot leave a pod's network namespace (setns): ${errnoName(code)}; aborting\n`);
  abort();
  throw new Error('abort() returned');
}

function isThenable(value: unknown): boolean {
  return (
    value instanceof Promise || typeof (value as { then?: unknown } | null)?.then === 'function'
  );
}
