import { expect } from 'chai';
import { assert, integer, property, uint8Array } from 'fast-check';
import { describe, it } from 'mocha';

import { ipFromBytes, ipToBytes } from '#common/net/address.ts';
import {
  cidrContains,
  cidrFromBytes,
  formatCidr,
  hostCidr,
  ipToWords,
  isHostCidr,
  parseCidr,
} from '#common/net/cidr.ts';
import { cidr, ip } from '#tests/support/mesh.ts';

describe('parseCidr()', () => {
  const table: readonly (readonly [string, string | undefined])[] = [
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['10.1.2.3/8', '10.0.0.0/8'],
    ['10.1.2.3', '10.1.2.3/32'],
    ['10.1.2.3/32', '10.1.2.3/32'],
    ['255.255.255.255/0', '0.0.0.0/0'],
    ['255.255.255.255/1', '128.0.0.0/1'],
    ['2001:db8::1/32', '2001:db8::/32'],
    ['2001:db8::1', '2001:db8::1/128'],
    ['ffff::/1', '8000::/1'],
    ['::/0', '::/0'],
    ['::ffff:10.1.2.3/104', '10.0.0.0/8'],
    ['::ffff:0:0/96', '0.0.0.0/0'],
    ['::ffff:0:0/95', undefined],
    ['10.0.0.0/33', undefined],
    ['::/129', undefined],
    ['10.0.0.0/-1', undefined],
    ['10.0.0.0/08', undefined],
    ['10.0.0.0/8.5', undefined],
    ['10.0.0.0/', undefined],
    ['10.0.0.0/8/8', undefined],
    ['10.0.0.0/ 8', undefined],
    ['10.0.0/8', undefined],
    ['/8', undefined],
    ['', undefined],
  ];
  for (const [text, want] of table) {
    it(`reads "${text}" as ${want ?? 'no block'}`, () => {
      const read = parseCidr(text);
      expect(read && formatCidr(read)).to.equal(want);
    });
  }
});

describe('cidrFromBytes()', () => {
  it('reads 4 and 16 bytes', () => {
    expect(formatCidr(cidrFromBytes(Uint8Array.of(10, 1, 2, 3), 16)!)).to.equal('10.1.0.0/16');
    expect(formatCidr(cidrFromBytes(new Uint8Array(16), 0)!)).to.equal('::/0');
  });

  it('refuses another size, and a length that the family does not have', () => {
    expect(cidrFromBytes(new Uint8Array(0), 0)).to.equal(undefined);
    expect(cidrFromBytes(new Uint8Array(5), 0)).to.equal(undefined);
    expect(cidrFromBytes(new Uint8Array(4), 33)).to.equal(undefined);
    expect(cidrFromBytes(new Uint8Array(16), 129)).to.equal(undefined);
    expect(cidrFromBytes(new Uint8Array(4), -1)).to.equal(undefined);
    expect(cidrFromBytes(new Uint8Array(4), 1.5)).to.equal(undefined);
  });
});

describe('isHostCidr()', () => {
  it('holds for a block of one address only', () => {
    expect(isHostCidr(hostCidr(ip('10.0.0.1')))).to.equal(true);
    expect(isHostCidr(cidr('::1/128'))).to.equal(true);
    expect(isHostCidr(cidr('10.0.0.0/31'))).to.equal(false);
    expect(isHostCidr(cidr('::/32'))).to.equal(false);
  });
});

describe('ipToWords()', () => {
  const table: readonly (readonly [string, readonly number[]])[] = [
    ['0.0.0.0', [0]],
    ['1.2.3.4', [0x01020304]],
    ['255.255.255.255', [0xffffffff]],
    ['2001:db8::ff00:42', [0x20010db8, 0, 0, 0xff000042]],
  ];
  for (const [text, want] of table) {
    it(`gives the unsigned words of ${text}`, () => {
      expect(ipToWords(ip(text))).to.deep.equal(want);
    });
  }
});

describe('cidrContains()', () => {
  it('keeps the families apart', () => {
    expect(cidrContains(cidr('0.0.0.0/0'), ipToWords(ip('::1')))).to.equal(false);
    expect(cidrContains(cidr('::/0'), ipToWords(ip('10.0.0.1')))).to.equal(false);
  });

  it('finds an IPv4-mapped address in an IPv4 block', () => {
    expect(cidrContains(cidr('10.0.0.0/8'), ipToWords(ip('::ffff:10.1.2.3')))).to.equal(true);
  });

  for (const size of [4, 16]) {
    it(`agrees with a comparison bit by bit, for addresses of ${size} bytes`, () => {
      const bytes = uint8Array({ minLength: size, maxLength: size });
      const bits = integer({ min: 0, max: size * 8 });
      assert(
        property(bytes, bits, bits, (base, prefixLength, flipped) => {
          const block = cidrFromBytes(base, prefixLength);
          const other = Uint8Array.from(base);
          // One bit away, or (flipped past the end) the same address: near the edge of the block, where mistakes are.
          if (flipped < size * 8) other[flipped >> 3]! ^= 0x80 >> (flipped & 7);
          const baseIp = ipFromBytes(base)!;
          const otherIp = ipFromBytes(other)!;
          if (ipToBytes(baseIp).length !== size || block === undefined) return;
          const sameFamily = ipToBytes(otherIp).length === size;
          const want = sameFamily && samePrefix(base, other, prefixLength);
          expect(cidrContains(block, ipToWords(otherIp))).to.equal(want);
        }),
        { numRuns: 2_000 },
      );
    });
  }
});

function samePrefix(one: Uint8Array, other: Uint8Array, prefixLength: number): boolean {
  return binary(one).slice(0, prefixLength) === binary(other).slice(0, prefixLength);
}

function binary(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
}
