import { expect } from 'chai';
import { describe, it } from 'mocha';

import { Http2Connection } from '#codec/http2/connection.ts';
import type { Header } from '#codec/http2/field.ts';
import { ErrorCode } from '#codec/http2/frame.ts';
import type { Http2Options } from '#codec/http2/options.ts';
import { writeData } from '#tests/support/write-data.ts';

import {
  block,
  CLIENT_START,
  CONNECT_BLOCK,
  data,
  frame,
  GET_BLOCK,
  headers,
  hex,
  resetStream,
  SETTINGS,
  SETTINGS_ACK,
  uint32,
  windowUpdate,
} from './frames.ts';
import { CONNECT, connectedPair, exchange, OK, Peer } from './peers.ts';

const none = Buffer.alloc(0);
const END_STREAM = 0x1;

/** A server that has seen a client's start, and counts what happens instead of writing it down. */
class Watched extends Peer {
  now = 0;

  constructor(options: Http2Options = {}) {
    super('server', options);
    this.receive(Buffer.concat([CLIENT_START, SETTINGS_ACK]));
    this.recorder.take();
    this.output.take();
  }

  /** Feeds `count` pieces and returns after how many the connection was closed, `count` when it was not. */
  floodedBy(count: number, piece: (i: number) => Buffer): number {
    for (let i = 0; i < count; i++) {
      this.receive(piece(i), this.now);
      const events = this.recorder.take();
      const fault = events.find(([name]) => name === 'fault');
      if (fault !== undefined) {
        expect(fault[1], String(fault[2])).to.equal(ErrorCode.enhanceYourCalm);
        return i;
      }
      this.output.take();
    }
    return count;
  }

  /** Opens a tunnel on a stream and answers it. */
  tunnel(id: number): void {
    this.receive(headers(id, CONNECT_BLOCK), this.now);
    this.connection.sendHeaders(this.stream(id), OK, false);
  }
}

const idOf = (i: number) => 2 * i + 1;

const openAndReset = (i: number) =>
  Buffer.concat([headers(idOf(i), CONNECT_BLOCK), resetStream(idOf(i), ErrorCode.cancel)]);

describe('Guards: rapid reset', () => {
  it('closes the connection after 1,000 requests that were reset at once', () => {
    expect(new Watched().floodedBy(5000, openAndReset)).to.equal(1000);
  });

  it('tells the user of every stream, also of the last one', () => {
    const server = new Watched();
    let open = 0;
    for (let i = 0; i < 1001; i++) server.receive(openAndReset(i));
    for (const [name] of server.recorder.take()) {
      if (name === 'headers') open++;
      if (name === 'reset') open--;
    }
    expect(open).to.equal(0);
    expect(server.connection.streamCount).to.equal(0);
  });

  it('gives 33 back per second', () => {
    const server = new Watched();
    server.floodedBy(1000, openAndReset);
    server.now = 10_000;
    expect(server.floodedBy(5000, (i) => openAndReset(1000 + i))).to.equal(330);
  });

  it('lets callers go that gave up after a second', () => {
    const server = new Watched();
    for (let i = 0; i < 5000; i++) {
      server.receive(headers(idOf(i), CONNECT_BLOCK), i * 1000);
      server.receive(resetStream(idOf(i), ErrorCode.cancel), (i + 1) * 1000);
    }
    expect(server.recorder.take().at(-1)?.[0]).to.equal('reset');
  });

  it('lets any number of answered streams be reset', () => {
    const server = new Watched();
    for (let i = 0; i < 5000; i++) {
      server.tunnel(idOf(i));
      server.receive(resetStream(idOf(i), ErrorCode.cancel));
    }
    expect(server.recorder.take().at(-1)?.[0]).to.equal('reset');
  });
});

describe('Guards: made you reset', () => {
  const attacks: readonly (readonly [what: string, piece: (id: number) => Buffer])[] = [
    [
      'a WINDOW_UPDATE of 0',
      (id) => Buffer.concat([headers(id, CONNECT_BLOCK), windowUpdate(id, 0)]),
    ],
    [
      'a window that overflows',
      (id) => Buffer.concat([headers(id, CONNECT_BLOCK), windowUpdate(id, 0x7fff_ffff)]),
    ],
    [
      'DATA behind the end',
      (id) => Buffer.concat([headers(id, GET_BLOCK, END_STREAM), data(id, 'a')]),
    ],
    [
      'HEADERS behind the end',
      (id) =>
        Buffer.concat([headers(id, GET_BLOCK, END_STREAM), headers(id, GET_BLOCK, END_STREAM)]),
    ],
    [
      'content beyond its length',
      (id) =>
        Buffer.concat([
          headers(id, Buffer.concat([GET_BLOCK, block(['content-length', '0'])])),
          data(id, 'a'),
        ]),
    ],
    ['malformed requests', (id) => headers(id, hex('82'))],
    [
      'PRIORITY of the wrong size',
      (id) => Buffer.concat([headers(id, CONNECT_BLOCK), frame(2, 0, id, none)]),
    ],
  ];
  for (const [what, piece] of attacks)
    it(`closes the connection after 1,000 stream errors by ${what}`, () => {
      expect(new Watched().floodedBy(5000, (i) => piece(idOf(i)))).to.equal(1000);
    });

  it('closes the connection after 1,000 refused streams', () => {
    const server = new Watched({ maxConcurrentStreams: 1 });
    expect(server.floodedBy(5000, (i) => headers(idOf(i), CONNECT_BLOCK))).to.equal(1001);
  });

  it('lets a client overrun the limit of streams that it could not know yet', () => {
    const server = new Watched({ maxConcurrentStreams: 200 });
    expect(server.floodedBy(1000, (i) => headers(idOf(i), CONNECT_BLOCK))).to.equal(1000);
    expect(server.connection.streamCount).to.equal(200);
  });

  it('does not count what our own user resets', () => {
    const server = new Watched();
    for (let i = 0; i < 5000; i++) {
      server.receive(headers(idOf(i), CONNECT_BLOCK));
      server.connection.reset(server.stream(idOf(i)), ErrorCode.connectError);
    }
    expect(server.recorder.take().at(-1)?.[0]).to.equal('headers');
  });
});

describe('Guards: header blocks', () => {
  it('closes the connection for CONTINUATION without end, before memory is used up', () => {
    const server = new Watched();
    server.receive(frame(1, 0, 1, none));
    expect(server.floodedBy(100, () => frame(9, 0, 1, Buffer.alloc(16_384)))).to.equal(8);
  });

  it('closes the connection for empty CONTINUATION without end', () => {
    const server = new Watched();
    server.receive(frame(1, 0, 1, none));
    expect(server.floodedBy(5000, () => frame(9, 0, 1, none))).to.equal(144);
  });

  it('takes the largest list that is allowed, in small fragments', () => {
    const server = new Watched();
    const fields = Array.from({ length: 100 }, (): Header => ['cookie', 'x'.repeat(126)]);
    const coded = Buffer.concat([CONNECT_BLOCK, block(...fields)]);
    const pieces: Buffer[] = [frame(1, 0, 1, none)];
    for (let at = 0; at < coded.length; at += 200)
      pieces.push(frame(9, at + 200 >= coded.length ? 4 : 0, 1, coded.subarray(at, at + 200)));
    server.receive(Buffer.concat(pieces));
    expect(server.recorder.take().map((event) => event[0])).to.deep.equal(['headers']);
  });

  it('costs one stream, not the connection, when a table entry is repeated beyond the limit', () => {
    const server = new Watched();
    // One entry of 4,000 bytes, 10,000 references: 40 MB if they were all kept.
    const entry = Buffer.concat([hex('40 01 61 7f a1 1e'), Buffer.alloc(4000, 'x')]);
    server.receive(headers(1, Buffer.concat([CONNECT_BLOCK, entry])));
    server.receive(headers(3, Buffer.concat([CONNECT_BLOCK, Buffer.alloc(10_000, 0xbe)])));
    server.receive(headers(5, CONNECT_BLOCK));
    expect(server.recorder.take().map(([name, id]) => `${name} ${String(id)}`)).to.deep.equal([
      'headers 1',
      'headers 5',
    ]);
  });
});

describe('Guards: SETTINGS and PING', () => {
  const ping = frame(6, 0, 0, Buffer.alloc(8));

  for (const [what, piece] of [
    ['PING', ping],
    ['SETTINGS', SETTINGS],
  ] as const)
    it(`closes the connection after 1,000 ${what} with nothing else`, () => {
      expect(new Watched().floodedBy(50_000, () => piece)).to.be.within(990, 1000);
    });

  it('answers a PING per DATA frame received, for any time', () => {
    const server = new Watched();
    server.tunnel(1);
    expect(server.floodedBy(20_000, () => Buffer.concat([data(1, 'a'), ping]))).to.equal(20_000);
  });

  it('answers a PING per DATA frame sent, for any time', () => {
    const [client, server] = connectedPair();
    client.connection.openStream(CONNECT, false);
    exchange(client, server);
    server.connection.sendHeaders(server.stream(1), OK, false);
    const large = Buffer.alloc(1000);
    for (let i = 0; i < 10_000; i++) {
      writeData(server, server.stream(1), large.subarray(0, 1000), false);
      server.output.take();
      server.receive(Buffer.concat([ping, windowUpdate(1, 1000), windowUpdate(0, 1000)]));
    }
    expect(server.recorder.take().map(([name]) => name)).to.not.include('fault');
  });

  it('closes the connection when the answers find no room', () => {
    const server = new Watched();
    server.output.limit = 100;
    for (let i = 0; i < 10; i++) server.receive(ping);
    expect(server.recorder.take()).to.deep.equal([
      ['fault', ErrorCode.enhanceYourCalm, 'The peer does not read what it asked for'],
    ]);
    expect(server.output.end).to.be.most(100);
  });
});

describe('Guards: empty and tiny DATA', () => {
  for (const [what, piece] of [
    ['empty DATA', data(1, '')],
    ['DATA with padding only', frame(0, 0x8, 1, hex('02 00 00'))],
  ] as const)
    it(`closes the connection after 100 times ${what}`, () => {
      const server = new Watched();
      server.tunnel(1);
      expect(server.floodedBy(5000, () => piece)).to.be.within(100, 101);
    });

  it('closes the connection after 100 interim responses', () => {
    const client = new Peer('client');
    client.connection.openStream(CONNECT, false);
    client.receive(SETTINGS);
    for (let i = 0; i < 102; i++) client.receive(headers(1, block([':status', '103'])));
    expect(client.recorder.take().at(-1)?.[1]).to.equal(ErrorCode.enhanceYourCalm);
  });

  it('closes the connection for tiny DATA in a mass that no application can have written', () => {
    const server = new Watched({ connectionWindow: 1_048_576 });
    server.tunnel(1);
    server.recorder.consumes = server.connection;
    const thousand = Buffer.concat(Array.from({ length: 1000 }, () => data(1, 'a')));
    expect(server.floodedBy(1000, () => thousand)).to.equal(65);
  });

  it('takes 1-byte messages on 200 streams at once, also while the application reads nothing', () => {
    const server = new Watched();
    const ids = Array.from({ length: 200 }, (_, i) => idOf(i));
    for (const id of ids) server.tunnel(id);
    const round = Buffer.concat(ids.map((id) => data(id, 'a')));
    expect(server.floodedBy(2000, () => round)).to.equal(2000);
    expect(server.stream(1).unconsumed).to.equal(2000);
  });

  it('takes 200,000 1-byte messages per second for any time', () => {
    const server = new Watched({ connectionWindow: 1_048_576 });
    server.tunnel(1);
    server.recorder.consumes = server.connection;
    const round = Buffer.concat(Array.from({ length: 20_000 }, () => data(1, 'a')));
    const rounds = server.floodedBy(50, (i) => {
      server.now = i * 100;
      return round;
    });
    expect(rounds).to.equal(50);
  });
});

describe('Guards: frames without effect', () => {
  for (const [what, piece] of [
    ['PRIORITY', frame(2, 0, 1, Buffer.alloc(5))],
    ['unknown frames', frame(0xbb, 0, 0, Buffer.alloc(5))],
    ['acknowledgements', SETTINGS_ACK],
    ['answers to no PING', frame(6, 1, 0, Buffer.alloc(8))],
    ['GOAWAY', frame(7, 0, 0, uint32(0, 0))],
  ] as const)
    it(`closes the connection after 100 times ${what} without a stream`, () => {
      expect(new Watched().floodedBy(5000, () => piece)).to.equal(100);
    });

  it('takes 100 PRIORITY frames with every stream', () => {
    const server = new Watched();
    const priorities = Buffer.concat(
      Array.from({ length: 100 }, () => frame(2, 0, 1, Buffer.alloc(5))),
    );
    for (let i = 0; i < 500; i++) {
      server.tunnel(idOf(i));
      server.receive(Buffer.concat([priorities, resetStream(idOf(i), 8)]));
    }
    expect(server.recorder.take().at(-1)?.[0]).to.equal('reset');
  });

  it('closes the connection after 105 WINDOW_UPDATE without a stream', () => {
    expect(new Watched().floodedBy(50_000, () => windowUpdate(0, 1))).to.equal(105);
  });

  it('takes a WINDOW_UPDATE per KiB that it sent, on stream and connection', () => {
    const [client, server] = connectedPair();
    client.connection.openStream(CONNECT, false);
    exchange(client, server);
    server.connection.sendHeaders(server.stream(1), OK, false);
    const large = Buffer.alloc(1_048_576);
    for (let i = 0; i < 100; i++) {
      const sent = writeData(server, server.stream(1), large, false);
      server.output.take();
      const updates = Buffer.concat([windowUpdate(1, 1024), windowUpdate(0, 1024)]);
      for (let given = 0; given < sent; given += 1024) server.receive(updates);
    }
    expect(server.recorder.take().map(([name]) => name)).to.not.include('fault');
  });
});

describe('Guards: closed streams', () => {
  it('drops what was on its way to a stream that we reset, and gives its bytes back', () => {
    const server = new Watched({ initialWindowSize: 100_000, connectionWindow: 100_000 });
    server.tunnel(1);
    server.connection.reset(server.stream(1), ErrorCode.cancel);
    server.recorder.take();
    for (let i = 0; i < 5; i++) server.receive(frame(0, 0, 1, Buffer.alloc(16_384)));
    server.receive(headers(1, block(['a', 'b']), END_STREAM));
    expect(server.recorder.take()).to.deep.equal([]);
    const { receiveLeft, receiveCredit } = server.connection.export();
    expect(receiveLeft + receiveCredit).to.equal(100_000);
  });

  it('closes the connection when that is more than the stream allowed', () => {
    const server = new Watched({ initialWindowSize: 40_000, connectionWindow: 100_000 });
    server.tunnel(1);
    server.connection.reset(server.stream(1), ErrorCode.cancel);
    for (let i = 0; i < 5; i++) server.receive(frame(0, 0, 1, Buffer.alloc(16_384)));
    expect(server.recorder.take().at(-1)?.slice(0, 2)).to.deep.equal([
      'fault',
      ErrorCode.flowControlError,
    ]);
  });

  it('remembers no more than 256 of them', () => {
    const server = new Watched();
    for (let i = 0; i < 1000; i++) {
      server.tunnel(idOf(i));
      server.connection.reset(server.stream(idOf(i)), ErrorCode.cancel);
    }
    const { closedStreams } = server.connection.export();
    expect(closedStreams).to.have.length(256);
    expect(closedStreams.map(([id]) => id)).to.deep.equal(
      Array.from({ length: 256 }, (_, i) => idOf(1000 - 256 + i)),
    );
  });
});

describe('Guards: a hand-over', () => {
  it('keeps the budgets, whatever the other process has for a clock', () => {
    const server = new Watched();
    server.floodedBy(60, () => windowUpdate(0, 1));
    const { recorder, output } = server;
    const state = structuredClone(server.connection.export());
    server.connection = Http2Connection.restore(state, recorder, output);
    server.now = 9_000_000;
    expect(server.floodedBy(50_000, () => windowUpdate(0, 1))).to.equal(45);
  });
});
