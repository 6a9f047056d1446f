import { getSystemErrorMap } from 'node:util';

import koffi from 'koffi';

/**
 * The C library's functions, declared once. Pointers are `uint64_t`: callers that know a stable address
 * (slabs of `reactor/memory.ts`) pass it and no object is made; rare calls take a typed array as `void *`,
 * which koffi hands over for the time of the call.
 *
 * Every function here is synchronous. Those that end in `…At` take addresses; the others take buffers.
 */
const library = koffi.load('libc.so.6');
const address = 'uint64_t';
const buffer = 'void *';

type Address = number;
/** A typed array that C reads from or writes to during the call, or null. */
type Bytes = Uint8Array | null;

export const socket: (domain: number, type: number, protocol: number) => number = library.func(
  'int socket(int, int, int)',
);
export const socketpair: (domain: number, type: number, protocol: number, pair: Bytes) => number =
  library.func('socketpair', 'int', ['int', 'int', 'int', buffer]);
export const bind: (fd: number, socketAddress: Bytes, length: number) => number = library.func(
  'bind',
  'int',
  ['int', buffer, 'int'],
);
export const listen: (fd: number, backlog: number) => number = library.func('int listen(int, int)');
export const connect: (fd: number, socketAddress: Bytes, length: number) => number = library.func(
  'connect',
  'int',
  ['int', buffer, 'int'],
);
export const accept4: (fd: number, from: Bytes, length: Bytes, flags: number) => number =
  library.func('accept4', 'int', ['int', buffer, buffer, 'int']);
export const setsockopt: (
  fd: number,
  level: number,
  name: number,
  value: Bytes,
  length: number,
) => number = library.func('setsockopt', 'int', ['int', 'int', 'int', buffer, 'int']);
export const getsockopt: (
  fd: number,
  level: number,
  name: number,
  value: Bytes,
  length: Bytes,
) => number = library.func('getsockopt', 'int', ['int', 'int', 'int', buffer, buffer]);
export const getsockname: (fd: number, socketAddress: Bytes, length: Bytes) => number =
  library.func('getsockname', 'int', ['int', buffer, buffer]);
export const getpeername: (fd: number, socketAddress: Bytes, length: Bytes) => number =
  library.func('getpeername', 'int', ['int', buffer, buffer]);
export const shutdown: (fd: number, how: number) => number = library.func('int shutdown(int, int)');
/**
 * Descriptors that these functions made are closed with this one, and those that Node opened with Node's: in
 * a worker, Node closes what it believes to be open still when the thread ends, in use again or not.
 */
export const close: (fd: number) => number = library.func('int close(int)');
export const open: (path: string, flags: number) => number = library.func(
  'int open(const char *, int)',
);

export const recvAt: (fd: number, at: Address, length: number, flags: number) => number =
  library.func('recv', 'int', ['int', address, address, 'int']);
export const sendAt: (fd: number, at: Address, length: number, flags: number) => number =
  library.func('send', 'int', ['int', address, address, 'int']);

/** `struct msghdr` at `message`. */
export const sendmsgAt: (fd: number, message: Address, flags: number) => number = library.func(
  'sendmsg',
  'int',
  ['int', address, 'int'],
);
export const recvmsgAt: (fd: number, message: Address, flags: number) => number = library.func(
  'recvmsg',
  'int',
  ['int', address, 'int'],
);

/** Moves the calling thread, not the process. */
export const setns: (fd: number, type: number) => number = library.func('int setns(int, int)');
/** Ends the process at once, also from a worker thread, where `process.abort` does not exist. */
export const abort: () => void = library.func('void abort()');
export const fcntl: (fd: number, command: number, argument: number) => number = library.func(
  'int fcntl(int, int, int)',
);
/** Held as long as the descriptor, or a copy of it, is open. */
export const mallopt: (parameter: number, value: number) => number =
  library.func('int mallopt(int, int)');
export const flock: (fd: number, operation: number) => number = library.func('int flock(int, int)');
export const ioctl: (fd: number, request: number, argument: number) => number = library.func(
  'int ioctl(int, unsigned long, int)',
);
export const ioctlBuffer: (fd: number, request: number, argument: Bytes) => number = library.func(
  'ioctl',
  'int',
  ['int', 'unsigned long', buffer],
);
export const memfdCreate: (name: string, flags: number) => number = library.func(
  'int memfd_create(const char *, unsigned int)',
);
/** `struct rlimit` is two 64-bit numbers: soft, hard. */
export const getrlimit: (resource: number, limits: Bytes) => number = library.func(
  'getrlimit',
  'int',
  ['int', buffer],
);
export const setrlimit: (resource: number, limits: Bytes) => number = library.func(
  'setrlimit',
  'int',
  ['int', buffer],
);

export const epollCreate1: (flags: number) => number = library.func('int epoll_create1(int)');
export const epollCtlAt: (epoll: number, operation: number, fd: number, event: Address) => number =
  library.func('epoll_ctl', 'int', ['int', 'int', 'int', address]);
export const epollWaitAt: (
  epoll: number,
  events: Address,
  max: number,
  timeoutMs: number,
) => number = library.func('epoll_wait', 'int', ['int', address, 'int', 'int']);

/** Zeroed bytes outside V8's heap, which never move, and their address. */
export function fixedBytes(size: number): { readonly bytes: Buffer; readonly address: Address } {
  const bytes = Buffer.from(new ArrayBuffer(size));
  return { bytes, address: Number(koffi.address(bytes)) };
}

export const memcpyAt: (to: Address, from: Address, length: number) => number = library.func(
  'memcpy',
  address,
  [address, address, address],
);
export const strnlenAt: (at: Address, max: number) => number = library.func('strnlen', address, [
  address,
  address,
]);

/** The thread's last `errno`. Read it before anything else runs. */
export function errno(): number {
  return koffi.errno();
}

const namesByNumber = new Map<number, string>(
  Object.entries(koffi.os.errno).map(([name, number]) => [number, name]),
);

/** `ECONNREFUSED` for 111 or -111. */
export function errnoName(number: number): string {
  return namesByNumber.get(Math.abs(number)) ?? `errno ${Math.abs(number)}`;
}

const texts: ReadonlyMap<number, readonly [name: string, text: string]> = getSystemErrorMap();

/** For people: `connection refused (ECONNREFUSED)` for 111 or -111. */
export function errnoText(number: number): string {
  const [, text] = texts.get(-Math.abs(number)) ?? [];
  const name = errnoName(number);
  return text === undefined ? name : `${text} (${name})`;
}

// Linux, the same on x86-64 and arm64.
export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const EBADF = 9;
export const EAGAIN = 11;
export const EINVAL = 22;
export const ENAMETOOLONG = 36;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETUNREACH = 101;
export const ECONNRESET = 104;
export const ETIMEDOUT = 110;
export const ECONNREFUSED = 111;
export const EINPROGRESS = 115;

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_SEQPACKET = 5;
export const O_CLOEXEC = 0o2000000;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const MSG_NOSIGNAL = 0x4000;
