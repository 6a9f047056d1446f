import ipaddr from 'ipaddr.js';

import type { Brand } from '#common/brand.ts';

/**
 * An IP address as canonical text: dotted decimal, or RFC 5952 for IPv6. An IPv4-mapped IPv6 address
 * (`::ffff:a.b.c.d`) is always written as the IPv4 address, so that one host has one spelling in
 * policies, logs and keys.
 */
export type IpAddress = Brand<string, 'IpAddress'>;

/** Where a socket is bound or connected. */
export interface SocketAddress {
  readonly ip: IpAddress;
  readonly port: number;
}

/** Reads an address; undefined when the text is not one. Zones (`fe80::1%eth0`) are refused. */
export function parseIp(text: string): IpAddress | undefined {
  if (text.includes('%')) return undefined;
  // The library finds out by throwing, which takes as long as a whole request: most of what is no address is told before.
  if (!/^[0-9A-Fa-f:.]+$/.test(text)) return undefined;
  if (ipaddr.IPv4.isValidFourPartDecimal(text))
    return ipaddr.IPv4.parse(text).toString() as IpAddress;
  if (!text.includes(':') || !ipaddr.IPv6.isValid(text)) return undefined;
  return ipFromBytes(Uint8Array.from(ipaddr.IPv6.parse(text).toByteArray()));
}

/** 4 or 16 bytes in network order to canonical text; undefined for any other length. */
export function ipFromBytes(bytes: Uint8Array): IpAddress | undefined {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` as IpAddress;
  if (bytes.length !== 16) return undefined;
  const address = new ipaddr.IPv6(Array.from(bytes));
  const canonical = address.isIPv4MappedAddress()
    ? address.toIPv4Address().toString()
    : address.toRFC5952String();
  return canonical as IpAddress;
}

/** The 4 or 16 bytes of an address in network order. */
export function ipToBytes(ip: IpAddress): Uint8Array {
  return Uint8Array.from(ipaddr.parse(ip).toByteArray());
}

export function isIpv4(ip: IpAddress): boolean {
  return !ip.includes(':');
}

/** `1.2.3.4:80` or `[::1]:80`. */
export function formatSocketAddress(address: SocketAddress): string {
  return isIpv4(address.ip) ? `${address.ip}:${address.port}` : `[${address.ip}]:${address.port}`;
}

/** Reads what {@link formatSocketAddress} writes; undefined when the text is not an address and a port from 0 to 65535. */
export function parseSocketAddress(text: string): SocketAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, v6, v4, portText] = match;
  const ip = parseIp(v6 ?? v4 ?? '');
  const port = Number(portText);
  if (ip === undefined || port > 65_535) return undefined;
  return { ip, port };
}
