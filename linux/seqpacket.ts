import { chmodSync, lstatSync, renameSync, rmSync } from 'node:fs';

import { invariant } from '#common/assert.ts';

import {
  AF_UNIX,
  accept4,
  bind,
  close,
  connect,
  EADDRINUSE,
  EAGAIN,
  ECONNREFUSED,
  EIO,
  ENAMETOOLONG,
  ENOENT,
  errno,
  fixedBytes,
  getsockopt,
  listen,
  MSG_NOSIGNAL,
  recvmsgAt,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_SEQPACKET,
  sendmsgAt,
  socket,
} from './libc.ts';
import type { SocketFailure } from './socket.ts';

/** Most descriptors that the kernel takes with one packet (SCM_MAX_FD). */
export const PACKET_DESCRIPTORS_MAX = 253;

export type Received =
  | { readonly kind: 'packet'; readonly bytes: Uint8Array; readonly fds: readonly number[] }
  /** The peer has closed, or sent an empty packet, which looks the same. */
  | { readonly kind: 'end' }
  | { readonly kind: 'again' }
  /** The packet or its descriptors were more than asked for. What arrived is closed. */
  | { readonly kind: 'truncated' }
  | { readonly kind: 'failed'; readonly errno: number };

export interface PeerCredentials {
  /** 0 for a process that this one can't see: in another pod. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x8;
const MSG_TRUNC = 0x20;
const MSG_CMSG_CLOEXEC = 0x40000000;
/** Peers that may wait to be accepted: one process per node, and its successor. */
const BACKLOG = 16;
const SEQPACKET_TYPE = SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC;
/** `sun_path`, with its final zero. */
const PATH_SIZE = 108;

// struct msghdr, struct iovec and one struct cmsghdr, at their offsets on 64-bit Linux.
const MESSAGE_SIZE = 56;
const MESSAGE_VECTOR = 16;
const MESSAGE_VECTOR_COUNT = 24;
const MESSAGE_CONTROL = 32;
const MESSAGE_CONTROL_LENGTH = 40;
const MESSAGE_FLAGS = 48;
const CONTROL_HEADER = 16;
const CONTROL_LEVEL = 8;
const CONTROL_TYPE = 12;

const message = fixedBytes(MESSAGE_SIZE);
const vector = fixedBytes(16);
const control = fixedBytes(CONTROL_HEADER + 4 * (PACKET_DESCRIPTORS_MAX + 1));
let payload = fixedBytes(4_096);

/**
 * Listens at `path`; `mode` is in force before anybody can connect. A socket file that nobody listens on is
 * replaced. One that somebody does listen on, or any other file, is left alone: EADDRINUSE.
 */
export function listenSeqpacket(
  path: string,
  { mode }: { readonly mode: number },
): { readonly fd: number } | SocketFailure {
  if (isTaken(path)) return { errno: -EADDRINUSE, call: 'bind' };
  // Bound under another name and moved: nobody sees the socket before it has its mode and listens.
  const temporary = `${path}.${process.pid}`;
  const address = unixAddress(temporary);
  if (address === undefined) return { errno: -ENAMETOOLONG, call: 'bind' };
  const fd = socket(AF_UNIX, SEQPACKET_TYPE, 0);
  if (fd < 0) return { errno: -errno(), call: 'socket' };
  rmSync(temporary, { force: true });
  if (bind(fd, address, address.length) < 0) return abandon(fd, 'bind');
  try {
    chmodSync(temporary, mode);
    if (listen(fd, BACKLOG) < 0) return abandon(fd, 'listen');
    renameSync(temporary, path);
  } catch (error) {
    close(fd);
    const { errno: number = -EIO, syscall = 'rename' } = error as NodeJS.ErrnoException;
    return { errno: number, call: syscall };
  } finally {
    rmSync(temporary, { force: true });
  }
  return { fd };
}

/** Connects, or says at once why not (`-ENOENT`, `-ECONNREFUSED`: nobody listens; `-EAGAIN`: too many wait). */
export function connectSeqpacket(path: string): { readonly fd: number } | SocketFailure {
  const address = unixAddress(path);
  if (address === undefined) return { errno: -ENAMETOOLONG, call: 'connect' };
  const fd = socket(AF_UNIX, SEQPACKET_TYPE, 0);
  if (fd < 0) return { errno: -errno(), call: 'socket' };
  return connect(fd, address, address.length) < 0 ? abandon(fd, 'connect') : { fd };
}

/** The next accepted connection: a non-blocking descriptor, or -errno (`-EAGAIN`: none is waiting). */
export function acceptSeqpacket(listener: number): number {
  const fd = accept4(listener, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return fd < 0 ? -errno() : fd;
}

/**
 * Sends one packet with copies of up to {@link PACKET_DESCRIPTORS_MAX} descriptors. Bytes sent, or -errno:
 * a packet goes as a whole or not at all. It may not be empty: the receiver would take it for the end.
 */
export function sendPacket(fd: number, bytes: Uint8Array, fds: readonly number[]): number {
  invariant(bytes.length > 0, 'a packet has at least one byte');
  invariant(fds.length <= PACKET_DESCRIPTORS_MAX, `a packet with ${fds.length} descriptors`);
  growPayload(bytes.length);
  payload.bytes.set(bytes);
  let controlLength = 0;
  if (fds.length > 0) {
    controlLength = CONTROL_HEADER + 4 * fds.length;
    control.bytes.writeBigUInt64LE(BigInt(controlLength), 0);
    control.bytes.writeInt32LE(SOL_SOCKET, CONTROL_LEVEL);
    control.bytes.writeInt32LE(SCM_RIGHTS, CONTROL_TYPE);
    let at = CONTROL_HEADER;
    for (const passed of fds) at = control.bytes.writeInt32LE(passed, at);
  }
  prepare(bytes.length, controlLength);
  const sent = sendmsgAt(fd, message.address, MSG_NOSIGNAL);
  return sent < 0 ? -errno() : sent;
}

/**
 * Receives one packet of up to `maxBytes` with up to `maxFds` descriptors. The descriptors of a 'packet' are
 * the caller's to close, and are not inherited by child processes; with any other result none is left open.
 */
export function receivePacket(fd: number, maxBytes: number, maxFds: number): Received {
  invariant(maxFds <= PACKET_DESCRIPTORS_MAX, `room for ${maxFds} descriptors in a packet`);
  growPayload(maxBytes);
  // Not rounded up to 8 bytes: the kernel would put one more descriptor into the rest.
  prepare(maxBytes, maxFds === 0 ? 0 : CONTROL_HEADER + 4 * maxFds);
  const received = recvmsgAt(fd, message.address, MSG_CMSG_CLOEXEC);
  if (received < 0) {
    const code = errno();
    return code === EAGAIN ? { kind: 'again' } : { kind: 'failed', errno: -code };
  }
  const fds = receivedDescriptors();
  const flags = message.bytes.readInt32LE(MESSAGE_FLAGS);
  if ((flags & (MSG_TRUNC | MSG_CTRUNC)) !== 0) {
    for (const extra of fds) close(extra);
    return { kind: 'truncated' };
  }
  if (received === 0) {
    for (const extra of fds) close(extra);
    return { kind: 'end' };
  }
  return { kind: 'packet', bytes: Uint8Array.from(payload.bytes.subarray(0, received)), fds };
}

/** Who connected, as the kernel noted it at that time; undefined for a descriptor without a peer. */
export function peerCredentials(fd: number): PeerCredentials | undefined {
  const credentials = Buffer.alloc(12);
  const length = Buffer.from([12, 0, 0, 0]);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length) < 0) return undefined;
  const uid = credentials.readUInt32LE(4);
  // The kernel answers for an unconnected socket too. Its pid, 0, is that of processes in other pods as well.
  if (uid === NOBODY) return undefined;
  return { pid: credentials.readInt32LE(0), uid, gid: credentials.readUInt32LE(8) };
}

/** The uid of no process: -1. */
const NOBODY = 0xff_ff_ff_ff;

/** Is something at `path` that must stay: a live socket, or a file of another kind? */
function isTaken(path: string): boolean {
  const present = lstatSync(path, { throwIfNoEntry: false });
  if (present === undefined) return false;
  if (!present.isSocket()) return true;
  const tried = connectSeqpacket(path);
  if ('fd' in tried) {
    close(tried.fd);
    return true;
  }
  return tried.errno !== -ECONNREFUSED && tried.errno !== -ENOENT;
}

function unixAddress(path: string): Buffer | undefined {
  const text = Buffer.from(path);
  if (text.length >= PATH_SIZE) return undefined;
  const address = Buffer.alloc(2 + text.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  text.copy(address, 2);
  return address;
}

function growPayload(size: number): void {
  if (payload.bytes.length < size) payload = fixedBytes(size);
}

function prepare(payloadLength: number, controlLength: number): void {
  vector.bytes.writeBigUInt64LE(BigInt(payload.address), 0);
  vector.bytes.writeBigUInt64LE(BigInt(payloadLength), 8);
  message.bytes.fill(0);
  message.bytes.writeBigUInt64LE(BigInt(vector.address), MESSAGE_VECTOR);
  message.bytes.writeBigUInt64LE(1n, MESSAGE_VECTOR_COUNT);
  if (controlLength === 0) return;
  message.bytes.writeBigUInt64LE(BigInt(control.address), MESSAGE_CONTROL);
  message.bytes.writeBigUInt64LE(BigInt(controlLength), MESSAGE_CONTROL_LENGTH);
}

function receivedDescriptors(): number[] {
  const fds: number[] = [];
  const total = Number(message.bytes.readBigUInt64LE(MESSAGE_CONTROL_LENGTH));
  let at = 0;
  while (at + CONTROL_HEADER <= total) {
    const length = Number(control.bytes.readBigUInt64LE(at));
    if (length < CONTROL_HEADER) break;
    const isRights =
      control.bytes.readInt32LE(at + CONTROL_LEVEL) === SOL_SOCKET &&
      control.bytes.readInt32LE(at + CONTROL_TYPE) === SCM_RIGHTS;
    const end = isRights ? Math.min(at + length, total) : at;
    for (let next = at + CONTROL_HEADER; next + 4 <= end; next += 4) {
      fds.push(control.bytes.readInt32LE(next));
    }
    at += (length + 7) & ~7;
  }
  return fds;
}

function abandon(fd: number, call: string): SocketFailure {
  const code = -errno();
  close(fd);
  return { errno: code, call };
}
