import {
  close,
  ECONNRESET,
  errno,
  getsockopt,
  MSG_NOSIGNAL,
  recvAt,
  sendAt,
  setsockopt,
  shutdown,
} from '#linux/libc.ts';

import { addressOf, type Slab } from './memory.ts';
import { disown } from './owned-descriptors.ts';

export { EAGAIN, errnoName, errnoText } from '#linux/libc.ts';

const SOL_SOCKET = 1;
const SOL_TCP = 6;
const TCP_INFO = 11;
const SO_ERROR = 4;
const SO_LINGER = 13;
const SHUT_RD = 0;
const SHUT_WR = 1;

// On, for zero seconds: struct linger { int onoff; int seconds; }.
const lingerZero = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);
const intValue = Buffer.alloc(4);
const intLength = new Uint8Array(4);
/** `struct tcp_info` up to and with `tcpi_notsent_bytes`: what every kernel since 4.6 fills in. */
const tcpInfo = Buffer.alloc(148);
const tcpInfoLength = Buffer.alloc(4);

/**
 * Reads what has arrived into `slab`. Bytes read, 0 at the end of the stream, or -errno
 * (`-EAGAIN`: nothing there yet).
 */
export function receiveInto(fd: number, slab: Slab, start: number, length: number): number {
  // Reading nothing answers 0, which would be taken for the end of the stream.
  if (length === 0) throw new RangeError('Cannot receive into no room');
  const received = recvAt(fd, addressOf(slab, start, length), length, 0);
  return received < 0 ? -errno() : received;
}

/** Writes from `slab` as much as the socket takes. Bytes written, or -errno. Never raises SIGPIPE. */
export function sendFrom(fd: number, slab: Slab, start: number, length: number): number {
  const sent = sendAt(fd, addressOf(slab, start, length), length, MSG_NOSIGNAL);
  return sent < 0 ? -errno() : sent;
}

/** Sends FIN after what is queued. 0, or -errno. */
export function shutdownWrite(fd: number): number {
  return shutdown(fd, SHUT_WR) < 0 ? -errno() : 0;
}

/** On a Unix socket: the peer can send no more; what it has sent can still be received. 0, or -errno. */
export function shutdownRead(fd: number): number {
  return shutdown(fd, SHUT_RD) < 0 ? -errno() : 0;
}

export function closeSocket(fd: number): void {
  disown(fd);
  close(fd);
}

/** The pending error of a socket as -errno, 0 for none. Reading it clears it. */
export function socketError(fd: number): number {
  intLength[0] = 4;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, intValue, intLength) < 0) return -errno();
  return -intValue.readInt32LE(0);
}

/** Makes the following close send RST instead of FIN. */
export function setLinger0(fd: number): void {
  setsockopt(fd, SOL_SOCKET, SO_LINGER, lingerZero, lingerZero.length);
}

/** Closes so that the peer does not take what it has got so far for all. */
export function resetSocket(fd: number): void {
  setLinger0(fd);
  closeSocket(fd);
}

/** Did this -errno come from a peer that has gone, rather than from a fault of ours? */
export function isPeerGone(result: number): boolean {
  return result === -ECONNRESET || result === -32 /* EPIPE */;
}

/** How far the other end of a connection is with what we send. */
export interface SendProgress {
  /** Bytes that its kernel has acknowledged since the connection's beginning. */
  readonly acknowledgedBytes: bigint;
  /** Something that we have written is not acknowledged. */
  readonly waits: boolean;
}

/** From TCP_INFO (tcp(7)); undefined for what is no TCP connection. */
export function sendProgress(fd: number): SendProgress | undefined {
  tcpInfoLength.writeInt32LE(tcpInfo.length);
  if (getsockopt(fd, SOL_TCP, TCP_INFO, tcpInfo, tcpInfoLength) < 0) return undefined;
  if (tcpInfoLength.readInt32LE() < tcpInfo.length) return undefined;
  const unacknowledgedSegments = tcpInfo.readUInt32LE(24);
  const unsentBytes = tcpInfo.readUInt32LE(144);
  return {
    acknowledgedBytes: tcpInfo.readBigUInt64LE(120),
    waits: unacknowledgedSegments > 0 || unsentBytes > 0,
  };
}
