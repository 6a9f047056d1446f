import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  formatSocketAddress,
  ipFromBytes,
  ipToBytes,
  parseIp,
  parseSocketAddress,
} from '#common/net/address.ts';

describe('parseIp()', () => {
  const cases: ReadonlyArray<readonly [string, string | undefined]> = [
    ['10.0.0.1', '10.0.0.1'],
    ['::1', '::1'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['::ffff:0a01:0203', '10.1.2.3'],
    ['10.0.0', undefined],
    ['10.0.0.256', undefined],
    ['010.0.0.1', undefined],
    ['0x0a000001', undefined],
    ['167772161', undefined],
    ['fe80::1%eth0', undefined],
    ['', undefined],
    ['example.com', undefined],
  ];
  for (const [text, want] of cases) {
    it(`reads ${JSON.stringify(text)} as ${want ?? 'no address'}`, () => {
      expect(parseIp(text)).to.equal(want);
    });
  }
});

describe('ipFromBytes()', () => {
  it('reads back what ipToBytes() gives', () => {
    for (const text of ['10.0.0.1', '2001:db8::1', '::']) {
      const ip = parseIp(text)!;
      expect(ipFromBytes(ipToBytes(ip))).to.equal(ip);
    }
  });

  it('refuses a length that is neither 4 nor 16', () => {
    expect(ipFromBytes(new Uint8Array(5))).to.equal(undefined);
  });
});

describe('parseSocketAddress()', () => {
  it('reads back what formatSocketAddress() writes', () => {
    for (const text of ['10.0.0.1:80', '[2001:db8::1]:65535']) {
      expect(formatSocketAddress(parseSocketAddress(text)!)).to.equal(text);
    }
  });

  it('refuses a missing or too large port and bare IPv6', () => {
    for (const text of ['10.0.0.1', '10.0.0.1:', '10.0.0.1:65536', '::1:80', '[::1]', 'host:80']) {
      expect(parseSocketAddress(text)).to.equal(undefined);
    }
  });
});
