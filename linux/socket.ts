import type { SocketAddress } from '#common/net/address.ts';

import {
  AF_INET6,
  accept4,
  bind,
  close,
  connect,
  EINPROGRESS,
  EINVAL,
  errno,
  getpeername,
  getsockname,
  getsockopt,
  listen,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  setsockopt,
  socket,
} from './libc.ts';
import {
  addressFamily,
  readSocketAddress,
  SOCKET_ADDRESS_SIZE,
  writeSocketAddress,
} from './socket-address.ts';

export interface KeepAlive {
  /** Seconds without traffic before the first probe. */
  readonly idleS: number;
  /** Seconds between probes. */
  readonly intervalS: number;
  /** Unanswered probes after which the connection is dead. */
  readonly probes: number;
}

export interface TcpTuning {
  readonly noDelay: boolean;
  /** Default: no probes. */
  readonly keepAlive?: KeepAlive | undefined;
  /** Milliseconds that sent data may stay unacknowledged (TCP_USER_TIMEOUT). Default: the kernel's. */
  readonly userTimeoutMs?: number | undefined;
}

export interface ListenOptions {
  /** `[::]` takes IPv4 too, as IPv4-mapped addresses. */
  readonly address: SocketAddress;
  /** SO_MARK. Accepted sockets inherit it. */
  readonly mark?: number | undefined;
  /** Tries IP_TRANSPARENT; the result says whether it was granted. */
  readonly transparent: boolean;
  /** Share the port with other sockets of the same user (SO_REUSEPORT); otherwise SO_REUSEADDR. */
  readonly reusePort: boolean;
  /** Connections that the kernel keeps for us until they are accepted. */
  readonly backlog: number;
  /** Accepted sockets inherit these: set here they cost nothing per connection. */
  readonly tuning?: TcpTuning | undefined;
}

export interface ConnectOptions {
  readonly to: SocketAddress;
  /**
   * The source address, which need not be one of ours (IP_FREEBIND, IP_TRANSPARENT). Port 0: the kernel
   * chooses one at connect, when it knows the destination (IP_BIND_ADDRESS_NO_PORT), so that one source
   * address has its whole port range for every destination.
   */
  readonly from?: SocketAddress | undefined;
  readonly mark?: number | undefined;
  readonly keepAlive?: KeepAlive | undefined;
  readonly userTimeoutMs?: number | undefined;
}

/** Which system call refused, and why, as -errno. Nothing is left open. */
export interface SocketFailure {
  readonly errno: number;
  readonly call: string;
}

const SOL_IP = 0;
const SOL_SOCKET = 1;
const SOL_TCP = 6;
const SOL_IPV6 = 41;
const SO_REUSEADDR = 2;
const SO_KEEPALIVE = 9;
const SO_REUSEPORT = 15;
const SO_ACCEPTCONN = 30;
const SO_MARK = 36;
const SO_PROTOCOL = 38;
const SO_DOMAIN = 39;
const IPPROTO_TCP = 6;
const IP_FREEBIND = 15;
const IP_TRANSPARENT = 19;
const IP_BIND_ADDRESS_NO_PORT = 24;
const IPV6_V6ONLY = 26;
const IPV6_TRANSPARENT = 75;
const TCP_NODELAY = 1;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_KEEPCNT = 6;
const TCP_USER_TIMEOUT = 18;

const TCP_TYPE = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

// Each is filled and read again within one synchronous call: thousands of connections a second share them.
const addressBytes = Buffer.alloc(SOCKET_ADDRESS_SIZE);
const addressLength = Buffer.alloc(4);
const optionValue = Buffer.alloc(4);
const optionLength = Buffer.alloc(4);

/** Opens a listening TCP socket in the thread's present network namespace. */
export function listenTcp(
  options: ListenOptions,
): { readonly fd: number; readonly transparent: boolean } | SocketFailure {
  const family = addressFamily(options.address.ip);
  const fd = socket(family, TCP_TYPE, 0);
  if (fd < 0) return failure('socket');
  if (options.mark !== undefined && setMark(fd, options.mark) < 0) return abandon(fd, 'SO_MARK');
  if (family === AF_INET6) setOption(fd, SOL_IPV6, IPV6_V6ONLY, 0);
  const reuse = options.reusePort ? SO_REUSEPORT : SO_REUSEADDR;
  if (setOption(fd, SOL_SOCKET, reuse, 1) < 0) return abandon(fd, 'SO_REUSEPORT');
  const transparent = options.transparent && makeTransparent(fd, family) === 0;
  if (options.tuning !== undefined) tuneTcp(fd, options.tuning);
  if (bind(fd, addressBytes, writeSocketAddress(addressBytes, options.address)) < 0) {
    return abandon(fd, 'bind');
  }
  if (listen(fd, options.backlog) < 0) return abandon(fd, 'listen');
  return { fd, transparent };
}

/**
 * Begins to connect; the socket is writable when it is done, with its error in SO_ERROR. It sends without
 * delay (TCP_NODELAY). A failure with the call `bind` concerns the source address alone.
 */
export function connectTcp(options: ConnectOptions): { readonly fd: number } | SocketFailure {
  const { to, from, mark } = options;
  const family = addressFamily(to.ip);
  const fd = socket(family, TCP_TYPE, 0);
  if (fd < 0) return failure('socket');
  if (mark !== undefined && setMark(fd, mark) < 0) return abandon(fd, 'SO_MARK');
  setOption(fd, SOL_TCP, TCP_NODELAY, 1);
  if (options.keepAlive !== undefined) setKeepAlive(fd, options.keepAlive);
  if (options.userTimeoutMs !== undefined) {
    setOption(fd, SOL_TCP, TCP_USER_TIMEOUT, options.userTimeoutMs);
  }
  if (from !== undefined) {
    const refused = bindSource(fd, family, from);
    if (refused !== undefined) return refused;
  }
  if (connect(fd, addressBytes, writeSocketAddress(addressBytes, to)) < 0) {
    if (errno() !== EINPROGRESS) return abandon(fd, 'connect');
  }
  return { fd };
}

/** The next accepted connection: a non-blocking descriptor, or -errno (`-EAGAIN`: none is waiting). */
export function acceptTcp(listener: number): number {
  const fd = accept4(listener, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return fd < 0 ? -errno() : fd;
}

/** The other end; undefined when it has gone already. IPv4-mapped addresses come as IPv4. */
export function peerAddress(fd: number): SocketAddress | undefined {
  addressLength[0] = SOCKET_ADDRESS_SIZE;
  if (getpeername(fd, addressBytes, addressLength) < 0) return undefined;
  return readSocketAddress(addressBytes);
}

/** Our end; undefined for a closed descriptor. IPv4-mapped addresses come as IPv4. */
export function localAddress(fd: number): SocketAddress | undefined {
  addressLength[0] = SOCKET_ADDRESS_SIZE;
  if (getsockname(fd, addressBytes, addressLength) < 0) return undefined;
  return readSocketAddress(addressBytes);
}

/** Best effort: a connection whose peer has gone meanwhile refuses some of these, and ends soon anyway. */
export function tuneTcp(fd: number, { noDelay, keepAlive, userTimeoutMs }: TcpTuning): void {
  setOption(fd, SOL_TCP, TCP_NODELAY, noDelay ? 1 : 0);
  if (keepAlive === undefined) setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
  else setKeepAlive(fd, keepAlive);
  setOption(fd, SOL_TCP, TCP_USER_TIMEOUT, userTimeoutMs ?? 0);
}

/** SO_MARK, which needs CAP_NET_ADMIN. 0, or -errno. */
export function setMark(fd: number, mark: number): number {
  return setOption(fd, SOL_SOCKET, SO_MARK, mark);
}

/** The port of a listening TCP socket; undefined for every other descriptor. */
export function listeningPort(fd: number): number | undefined {
  const listens = getOption(fd, SOL_SOCKET, SO_ACCEPTCONN) === 1;
  if (!listens || getOption(fd, SOL_SOCKET, SO_PROTOCOL) !== IPPROTO_TCP) return undefined;
  return localAddress(fd)?.port;
}

/**
 * IP_TRANSPARENT for a listener that is open already. 0, or -errno: also for a listener that has the option from
 * somebody else, `-EPERM` without CAP_NET_ADMIN or CAP_NET_RAW.
 */
export function setListenerTransparent(fd: number): number {
  const family = getOption(fd, SOL_SOCKET, SO_DOMAIN);
  return family < 0 ? family : makeTransparent(fd, family);
}

function setKeepAlive(fd: number, { idleS, intervalS, probes }: KeepAlive): void {
  setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  setOption(fd, SOL_TCP, TCP_KEEPIDLE, idleS);
  setOption(fd, SOL_TCP, TCP_KEEPINTVL, intervalS);
  setOption(fd, SOL_TCP, TCP_KEEPCNT, probes);
}

function makeTransparent(fd: number, family: number): number {
  if (family !== AF_INET6) return setOption(fd, SOL_IP, IP_TRANSPARENT, 1);
  const transparent = setOption(fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
  // A dual-stack listener is an IPv4 socket as well; on a host without IPv4 this one may fail.
  setOption(fd, SOL_IP, IP_TRANSPARENT, 1);
  return transparent;
}

function bindSource(fd: number, family: number, from: SocketAddress): SocketFailure | undefined {
  if (addressFamily(from.ip) !== family) {
    close(fd);
    return { errno: -EINVAL, call: 'bind' };
  }
  // Both are options of the common IP layer: IPv6 sockets take them at SOL_IP too.
  setOption(fd, SOL_IP, IP_FREEBIND, 1);
  setOption(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  // The application may restart and bind its own port again while a connection of ours still uses it.
  setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  const transparent = makeTransparent(fd, family);
  if (transparent < 0) return abandon(fd, 'bind', transparent);
  const length = writeSocketAddress(addressBytes, from);
  return bind(fd, addressBytes, length) < 0 ? abandon(fd, 'bind') : undefined;
}

/** A value, or -errno. */
function getOption(fd: number, level: number, name: number): number {
  optionLength[0] = 4;
  return getsockopt(fd, level, name, optionValue, optionLength) < 0
    ? -errno()
    : optionValue.readInt32LE(0);
}

function setOption(fd: number, level: number, name: number, value: number): number {
  optionValue.writeInt32LE(value | 0, 0);
  return setsockopt(fd, level, name, optionValue, 4) < 0 ? -errno() : 0;
}

function failure(call: string): SocketFailure {
  return { errno: -errno(), call };
}

function abandon(fd: number, call: string, code: number = -errno()): SocketFailure {
  close(fd);
  return { errno: code, call };
}
