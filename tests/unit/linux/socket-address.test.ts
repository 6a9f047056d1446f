import { expect } from 'chai';
import { describe, it } from 'mocha';

import { type IpAddress, parseSocketAddress } from '#common/net/address.ts';
import {
  readSocketAddress,
  SOCKET_ADDRESS_SIZE,
  writeSocketAddress,
} from '#linux/socket-address.ts';

describe('writeSocketAddress()', () => {
  it('writes struct sockaddr_in: family, port in network order, address, zeroes', () => {
    const into = Buffer.alloc(SOCKET_ADDRESS_SIZE, 0xff);
    const length = writeSocketAddress(into, { ip: '10.1.20.255' as IpAddress, port: 15_008 });
    expect(into.subarray(0, length).toString('hex')).to.equal('02003aa00a0114ff0000000000000000');
  });

  it('writes struct sockaddr_in6: family, port, no flow, address, no scope', () => {
    const into = Buffer.alloc(SOCKET_ADDRESS_SIZE, 0xff);
    const length = writeSocketAddress(into, { ip: '2001:db8::1' as IpAddress, port: 80 });
    expect(into.subarray(0, length).toString('hex')).to.equal(
      '0a0000500000000020010db800000000000000000000000100000000',
    );
  });
});

describe('readSocketAddress()', () => {
  for (const text of [
    '0.0.0.0:0',
    '255.255.255.255:65535',
    '10.1.2.3:80',
    '[::]:1',
    '[fd00::1]:9',
  ]) {
    it(`reads back ${text}`, () => {
      const into = Buffer.alloc(SOCKET_ADDRESS_SIZE, 0xff);
      writeSocketAddress(into, parseSocketAddress(text)!);
      expect(readSocketAddress(into)).to.deep.equal(parseSocketAddress(text));
    });
  }

  it('reads an IPv4-mapped address as IPv4', () => {
    const mapped = Buffer.from('0a0000500000000000000000000000000000ffff0a01020300000000', 'hex');
    expect(readSocketAddress(mapped)).to.deep.equal({ ip: '10.1.2.3', port: 80 });
  });

  it('answers nothing for another family', () => {
    expect(readSocketAddress(Buffer.alloc(SOCKET_ADDRESS_SIZE, 1))).to.equal(undefined);
  });
});
