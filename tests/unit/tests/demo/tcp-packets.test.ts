import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  countTlsRecords,
  hexDump,
  joinStreams,
  readTcpPackets,
  type TcpPacket,
  tlsRecordsOf,
} from '#tests/demo/tcp-packets.ts';

describe('readTcpPackets()', () => {
  it('reads ports, sequence number, SYN and payload of IPv4 and IPv6, without padding', () => {
    const four = ethernet(0x0800, Buffer.concat([ipv4(tcp('hello')), Buffer.alloc(6)]));
    const six = ethernet(0x86dd, ipv6(tcp('')));
    const [first, second] = readTcpPackets(pcap([four, six]));
    expect(first).to.include({
      from: '0a000001:4000',
      to: '0a000002:15008',
      fromPort: 4000,
      toPort: 15_008,
      sequence: 1000,
      isSyn: false,
    });
    expect(first?.payload.toString()).to.equal('hello');
    expect(second?.to).to.equal(`${'22'.repeat(16)}:15008`);
    expect(second?.payload).to.have.length(0);
  });

  it('takes the rest of the frame when a large packet has no length of its own', () => {
    const large = ipv4(tcp('hello'));
    large.writeUInt16BE(0, 2);
    expect(readTcpPackets(pcap([ethernet(0x0800, large)]))[0]?.payload.toString()).to.equal(
      'hello',
    );
  });

  it('leaves out what is not TCP, and what is cut short', () => {
    const udp = ipv4(tcp('hello'));
    udp[9] = 17;
    const frames = [ethernet(0x0806, Buffer.alloc(28)), ethernet(0x0800, udp), Buffer.alloc(3)];
    expect(readTcpPackets(pcap(frames))).to.deep.equal([]);
  });
});

describe('joinStreams()', () => {
  it('joins each direction from its SYN on, with repetitions once', () => {
    const packets = [
      packet('a > b', 99, 'SYN'),
      packet('a > b', 100, 'one '),
      packet('b > a', 7, 'SYN'),
      packet('a > b', 100, 'one '),
      packet('b > a', 8, 'answer'),
      packet('a > b', 102, 'e two'),
    ];
    const streams = joinStreams(packets);
    expect(streams.get('a > b')?.toString()).to.equal('one two');
    expect(streams.get('b > a')?.toString()).to.equal('answer');
  });

  it('goes on where sequence numbers begin again at zero', () => {
    const packets = [
      packet('a > b', 0xffff_fffe, 'SYN'),
      packet('a > b', 0xffff_ffff, 'x'),
      packet('a > b', 0, 'y'),
    ];
    expect(joinStreams(packets).get('a > b')?.toString()).to.equal('xy');
  });

  it('leaves out connections that began before', () => {
    expect(joinStreams([packet('a > b', 100, 'late')]).size).to.equal(0);
  });
});

describe('countTlsRecords()', () => {
  it('counts records by type', () => {
    const stream = Buffer.concat([record(22, 300), record(20, 1), record(23, 9), record(23, 500)]);
    expect(Object.fromEntries(countTlsRecords(stream) ?? [])).to.deep.equal({
      handshake: 1,
      'change cipher spec': 1,
      'application data': 2,
    });
  });

  it('refuses a stream with anything else between records', () => {
    expect(countTlsRecords(Buffer.concat([record(22, 4), Buffer.from('GET / HTTP/1.1')]))).to.equal(
      undefined,
    );
    expect(countTlsRecords(Buffer.from('GET / HTTP/1.1'))).to.equal(undefined);
  });
});

describe('tlsRecordsOf()', () => {
  it('sums the records of all streams', () => {
    expect(tlsRecordsOf(both(record(23, 1)))).to.equal('1 handshake, 2 application data');
  });

  it('names the stream that carries anything else', () => {
    expect(() => tlsRecordsOf(both(Buffer.from('GET / HTTP/1.1')))).to.throw(
      'b:15008 > a:1 carries something that is not TLS',
    );
  });

  it('proves nothing without a stream', () => {
    expect(() => tlsRecordsOf(new Map())).to.throw('No tunnel was opened');
  });
});

describe('hexDump()', () => {
  it('shows 16 bytes a line, with dots for what is not text', () => {
    expect(hexDump(Buffer.from('GET / HTTP/1.1\r\nHi'))).to.equal(
      '47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a  GET / HTTP/1.1..\n48 69                                            Hi',
    );
  });
});

/** A packet of `from > to`; the text SYN makes it the first of its direction. */
function packet(direction: string, sequence: number, text: string): TcpPacket {
  const [from = '', to = ''] = direction.split(' > ');
  const isSyn = text === 'SYN';
  const payload = Buffer.from(isSyn ? '' : text);
  return { from, to, fromPort: 1, toPort: 2, sequence, isSyn, payload };
}

function record(type: number, length: number): Buffer {
  const header = Buffer.from([type, 3, 3, length >> 8, length & 255]);
  return Buffer.concat([header, Buffer.alloc(length)]);
}

function both(other: Buffer): Map<string, Buffer> {
  return new Map([
    ['a:1 > b:15008', Buffer.concat([record(22, 4), record(23, 5)])],
    ['b:15008 > a:1', other],
  ]);
}

function pcap(frames: readonly Buffer[]): Buffer {
  const parts = frames.flatMap((frame) => {
    const header = Buffer.alloc(16);
    header.writeUInt32LE(frame.length, 8);
    header.writeUInt32LE(frame.length, 12);
    return [header, frame];
  });
  return Buffer.concat([Buffer.alloc(24), ...parts]);
}

function ethernet(type: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.alloc(12), Buffer.from([type >> 8, type & 255]), payload]);
}

function ipv4(payload: Buffer): Buffer {
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header.writeUInt16BE(20 + payload.length, 2);
  header[9] = 6;
  header.set([10, 0, 0, 1, 10, 0, 0, 2], 12);
  return Buffer.concat([header, payload]);
}

function ipv6(payload: Buffer): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(payload.length, 4);
  header[6] = 6;
  header.fill(0x11, 8, 24).fill(0x22, 24, 40);
  return Buffer.concat([header, payload]);
}

function tcp(text: string): Buffer {
  const header = Buffer.alloc(24); // with 4 bytes of options
  header.writeUInt16BE(4000, 0);
  header.writeUInt16BE(15_008, 2);
  header.writeUInt32BE(1000, 4);
  header[12] = 6 << 4;
  return Buffer.concat([header, Buffer.from(text)]);
}
