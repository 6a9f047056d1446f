// Sends one TCP packet of a connection that does not exist: an ACK, as from a connection that has long been open.
//
//   node tests/bed/programs/stray-acknowledgement.ts FROM PORT TO PORT
//
// A listener answers such a packet with RST. One with an MD5 signature (RFC 2385) that it has no key for it drops
// in silence, and connection tracking keeps what the packet has made it believe.
import { argv } from 'node:process';

import { invariant } from '#common/assert.ts';
import { type IpAddress, ipToBytes, parseIp } from '#common/net/address.ts';
import { bind, connect, errno, errnoName, SOCK_CLOEXEC, socket } from '#linux/libc.ts';
import { addressFamily, SOCKET_ADDRESS_SIZE, writeSocketAddress } from '#linux/socket-address.ts';
import { allocateSlab } from '#reactor/memory.ts';
import { sendFrom } from '#reactor/socket.ts';

const SOCK_RAW = 3;
const IPPROTO_TCP = 6;
const FLAG_ACK = 0x10;
const HEADER_BYTES = 20;
const MD5_OPTION = [19, 18, ...Buffer.alloc(16, 'x'), 1, 1];

const [from = '', fromPort = '', to = '', toPort = ''] = argv.slice(2);
const source = address(from);
const target = address(to);
const packet = segment(Number(fromPort), Number(toPort));
const slab = allocateSlab(packet.length);
packet.copy(slab.bytes);

const fd = socket(addressFamily(target), SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP);
must('socket', fd);
const socketAddress = Buffer.alloc(SOCKET_ADDRESS_SIZE);
// Raw sockets have no ports.
must('bind', bind(fd, socketAddress, writeSocketAddress(socketAddress, { ip: source, port: 0 })));
must(
  'connect',
  connect(fd, socketAddress, writeSocketAddress(socketAddress, { ip: target, port: 0 })),
);
const sent = sendFrom(fd, slab, 0, packet.length);
invariant(sent === packet.length, `send: ${sent}`);

function segment(sourcePort: number, targetPort: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + MD5_OPTION.length);
  bytes.writeUInt16BE(sourcePort, 0);
  bytes.writeUInt16BE(targetPort, 2);
  bytes.writeUInt32BE(1_000, 4);
  bytes.writeUInt32BE(1, 8);
  bytes[12] = (bytes.length / 4) << 4;
  bytes[13] = FLAG_ACK;
  bytes.writeUInt16BE(65_535, 14);
  bytes.set(MD5_OPTION, HEADER_BYTES);
  bytes.writeUInt16BE(checksum(bytes), 16);
  return bytes;
}

/** RFC 9293, section 3.1; the pseudo header's length and protocol are 16 bits each for sums' purposes. */
function checksum(bytes: Buffer): number {
  let sum = IPPROTO_TCP + bytes.length;
  for (const part of [ipToBytes(source), ipToBytes(target), bytes]) {
    for (let at = 0; at < part.length; at += 2) sum += ((part[at] ?? 0) << 8) | (part[at + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function address(text: string): IpAddress {
  const ip = parseIp(text);
  invariant(ip !== undefined, `"${text}" is no address`);
  return ip;
}

function must(call: string, result: number): void {
  invariant(result >= 0, `${call}: ${errnoName(errno())}`);
}
