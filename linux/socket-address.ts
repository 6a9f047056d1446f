import { type IpAddress, ipFromBytes, ipToBytes, type SocketAddress } from '#common/net/address.ts';

import { AF_INET, AF_INET6 } from './libc.ts';

/** Room for `struct sockaddr_in` (16 bytes) and `struct sockaddr_in6` (28). */
export const SOCKET_ADDRESS_SIZE = 28;

const IPV4_SIZE = 16;
const DOT = 46;
const ZERO = 48;

export function addressFamily(ip: IpAddress): typeof AF_INET | typeof AF_INET6 {
  return ip.includes(':') ? AF_INET6 : AF_INET;
}

/** Writes `address` as the kernel wants it. Returns its length in bytes. */
export function writeSocketAddress(into: Buffer, { ip, port }: SocketAddress): number {
  if (addressFamily(ip) === AF_INET) {
    into.fill(0, 0, IPV4_SIZE);
    into.writeUInt16LE(AF_INET, 0);
    into.writeUInt16BE(port, 2);
    writeIpv4(into, 4, ip);
    return IPV4_SIZE;
  }
  into.fill(0, 0, SOCKET_ADDRESS_SIZE);
  into.writeUInt16LE(AF_INET6, 0);
  into.writeUInt16BE(port, 2);
  into.set(ipToBytes(ip), 8);
  return SOCKET_ADDRESS_SIZE;
}

/** Reads what the kernel wrote; an IPv4-mapped address is read as IPv4. Undefined for other families. */
export function readSocketAddress(from: Buffer): SocketAddress | undefined {
  const family = from.readUInt16LE(0);
  if (family === AF_INET) return { ip: readIpv4(from, 4), port: from.readUInt16BE(2) };
  if (family !== AF_INET6) return undefined;
  if (isMapped(from)) return { ip: readIpv4(from, 20), port: from.readUInt16BE(2) };
  const ip = ipFromBytes(from.subarray(8, 24));
  return ip === undefined ? undefined : { ip, port: from.readUInt16BE(2) };
}

function isMapped(from: Buffer): boolean {
  return (
    from.readUInt32LE(8) === 0 && from.readUInt32LE(12) === 0 && from.readUInt32BE(16) === 0xffff
  );
}

function readIpv4(from: Buffer, at: number): IpAddress {
  return `${from[at]}.${from[at + 1]}.${from[at + 2]}.${from[at + 3]}` as IpAddress;
}

// The text is canonical (that is what the type says), so digits and dots are all there can be.
function writeIpv4(into: Buffer, at: number, ip: IpAddress): void {
  let octet = 0;
  let next = at;
  for (let index = 0; index < ip.length; index++) {
    const code = ip.charCodeAt(index);
    if (code === DOT) {
      into[next++] = octet;
      octet = 0;
    } else octet = octet * 10 + code - ZERO;
  }
  into[next] = octet;
}
