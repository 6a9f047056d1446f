import { invariant } from '#common/assert.ts';

import { type IpAddress, ipFromBytes, ipToBytes, isIpv4, parseIp } from './address.ts';

/**
 * A block of addresses. Plain data that can be posted to a thread; the words make a match cheap.
 * Families are separate: `::/0` holds no IPv4 address, because IPv4-mapped addresses are always
 * written as IPv4 (see address.ts).
 */
export interface Cidr {
  /** First address of the block: the host bits are zero. */
  readonly ip: IpAddress;
  /** 0 to 32, or 0 to 128. */
  readonly prefixLength: number;
  /** {@link ipToWords} of `ip`. */
  readonly words: IpWords;
}

/** An address as unsigned 32-bit words, highest first: one for IPv4, four for IPv6. */
export type IpWords = readonly number[];

/** Reads `10.0.0.0/8`, or a bare address as the block of itself. Host bits are cleared. Undefined when the text is neither. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  if (slash === -1) {
    const ip = parseIp(text);
    return ip === undefined ? undefined : hostCidr(ip);
  }
  const lengthText = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(lengthText)) return undefined;
  const address = text.slice(0, slash);
  const ip = parseIp(address);
  if (ip === undefined) return undefined;
  return blockOf(ip, Number(lengthText), address.includes(':') ? 128 : 32);
}

/** From the wire: 4 or 16 bytes and a length. Undefined for another size or a length that the family doesn't have. */
export function cidrFromBytes(bytes: Uint8Array, prefixLength: number): Cidr | undefined {
  const ip = ipFromBytes(bytes);
  return ip === undefined ? undefined : blockOf(ip, prefixLength, bytes.length * 8);
}

/** The block that holds one address only. */
export function hostCidr(ip: IpAddress): Cidr {
  return { ip, prefixLength: bitsOf(ip), words: ipToWords(ip) };
}

export function formatCidr(cidr: Cidr): string {
  return `${cidr.ip}/${cidr.prefixLength}`;
}

/** Whether the block is as long as an address: it holds exactly one. */
export function isHostCidr(cidr: Cidr): boolean {
  return cidr.prefixLength === bitsOf(cidr.ip);
}

/** Whether the block holds the address, given as words so that many blocks are tried with one conversion. */
export function cidrContains(cidr: Cidr, address: IpWords): boolean {
  if (cidr.words.length !== address.length) return false;
  for (let index = 0, left = cidr.prefixLength; left > 0; index += 1, left -= 32) {
    const differing = (cidr.words[index] ?? 0) ^ (address[index] ?? 0);
    if (differing >>> Math.max(0, 32 - left) !== 0) return false;
  }
  return true;
}

/** Called for every connection with an address policy, so IPv4 doesn't take the way through the library. */
export function ipToWords(ip: IpAddress): IpWords {
  if (isIpv4(ip)) return [ipv4Word(ip)];
  const bytes = ipToBytes(ip);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return [view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12)];
}

/** `writtenBits` is the family that the prefix length counts in: an IPv4 address may have been written as IPv6. */
function blockOf(ip: IpAddress, writtenLength: number, writtenBits: number): Cidr | undefined {
  const prefixLength = writtenLength - (writtenBits - bitsOf(ip));
  // Below zero: a block around the mapped addresses that also holds other IPv6 ones, which no single Cidr can say.
  if (!Number.isInteger(prefixLength) || prefixLength < 0 || prefixLength > bitsOf(ip)) {
    return undefined;
  }
  const bytes = ipToBytes(ip).map((byte, index) => byte & byteMask(prefixLength - index * 8));
  const network = ipFromBytes(bytes);
  invariant(network !== undefined, 'clearing bits keeps the length of an address');
  return { ip: network, prefixLength, words: ipToWords(network) };
}

/** Relies on the canonical text of an {@link IpAddress}: four decimal numbers from 0 to 255. */
function ipv4Word(ip: IpAddress): number {
  let word = 0;
  for (const part of ip.split('.')) word = word * 256 + Number(part);
  return word;
}

function byteMask(bitsLeft: number): number {
  if (bitsLeft >= 8) return 0xff;
  return bitsLeft <= 0 ? 0 : (0xff << (8 - bitsLeft)) & 0xff;
}

function bitsOf(ip: IpAddress): number {
  return isIpv4(ip) ? 32 : 128;
}
