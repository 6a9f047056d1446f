import { expect } from 'chai';
import { describe, it } from 'mocha';

import { Http2Connection } from '#codec/http2/connection.ts';
import { ErrorCode } from '#codec/http2/frame.ts';
import type { Http2Options } from '#codec/http2/options.ts';
import { writeData } from '#tests/support/write-data.ts';

import {
  CLIENT_START,
  CONNECT_BLOCK,
  data,
  describeFrames,
  frame,
  headers,
  hex,
  SETTINGS_ACK,
  setting,
  windowUpdate,
} from './frames.ts';
import { CONNECT, connectedPair, exchange, OK, Peer } from './peers.ts';

/** A server with a tunnel on stream 1 whose settings are acknowledged. */
function serverWithTunnel(options: Http2Options): Peer {
  const server = new Peer('server', options);
  server.receive(Buffer.concat([CLIENT_START, SETTINGS_ACK, headers(1, CONNECT_BLOCK)]));
  server.connection.sendHeaders(server.stream(1), OK, false);
  server.recorder.take();
  server.output.take();
  return server;
}

describe('Http2Connection, flow control', () => {
  it('consume() writes no frame until a quarter of the window is to be given back', () => {
    const server = serverWithTunnel({ initialWindowSize: 1000, connectionWindow: 100_000 });
    server.receive(data(1, 'x'.repeat(900)));
    server.connection.consume(server.stream(1), 249);
    expect(server.output.end).to.equal(0);
    server.connection.consume(server.stream(1), 1);
    expect(describeFrames(server.output.take())).to.deep.equal(['WINDOW_UPDATE 1 000000fa']);
  });

  it('consume() gives back to the connection what its streams gave together', () => {
    const server = serverWithTunnel({ connectionWindow: 80_000 });
    server.receive(headers(3, CONNECT_BLOCK));
    server.receive(Buffer.concat([data(1, 'x'.repeat(15_000)), data(3, 'x'.repeat(15_000))]));
    server.connection.consume(server.stream(1), 12_000);
    expect(server.output.end).to.equal(0);
    server.connection.consume(server.stream(3), 8000);
    expect(describeFrames(server.output.take())).to.deep.equal(['WINDOW_UPDATE 0 00004e20']);
  });

  it('consume() never gives more than was received', () => {
    const server = serverWithTunnel({ initialWindowSize: 1000 });
    server.receive(data(1, 'abc'));
    server.connection.consume(server.stream(1), 1000);
    expect(server.stream(1).unconsumed).to.equal(0);
    expect(server.stream(1).receive.credit).to.equal(3);
  });

  it('consume() sends nothing for a stream that its peer has ended, but counts for the connection', () => {
    const server = serverWithTunnel({ initialWindowSize: 30_000, connectionWindow: 65_535 });
    server.receive(data(1, 'x'.repeat(16_384), 0x1));
    server.connection.consume(server.stream(1), 16_384);
    expect(describeFrames(server.output.take())).to.deep.equal(['WINDOW_UPDATE 0 00004000']);
  });

  for (const [what, end] of [
    ['reset by us', (server: Peer) => server.connection.reset(server.stream(1), ErrorCode.cancel)],
    ['reset by the peer', (server: Peer) => server.receive(frame(3, 0, 1, Buffer.alloc(4)))],
    [
      'ended by both and reset by us',
      (server: Peer) => {
        const stream = server.stream(1);
        server.receive(data(1, '', 0x1));
        server.connection.commitData(stream, 0, true);
        server.connection.reset(stream, ErrorCode.cancel);
      },
    ],
  ] as const)
    it(`gives the connection back what nobody consumed of a stream that was ${what}`, () => {
      const server = serverWithTunnel({ connectionWindow: 65_535 });
      server.receive(data(1, 'x'.repeat(16_384)));
      const stream = server.stream(1);
      end(server);
      expect(stream.unconsumed).to.equal(0);
      server.connection.consume(stream, 16_384);
      const updates = describeFrames(server.output.take()).filter((line) => line.startsWith('WIN'));
      expect(updates).to.deep.equal(['WINDOW_UPDATE 0 00004000']);
    });

  for (const [order, end] of [
    [
      'the peer first',
      (server: Peer) => {
        server.receive(data(1, 'x'.repeat(16_384), 0x1));
        server.connection.commitData(server.stream(1), 0, true);
      },
    ],
    [
      'us first',
      (server: Peer) => {
        server.connection.commitData(server.stream(1), 0, true);
        server.receive(data(1, 'x'.repeat(16_384), 0x1));
      },
    ],
  ] as const)
    describe(`a stream ended by both, ${order}, with bytes that nobody has consumed`, () => {
      it('keeps its place and the credit of the connection until consume() has taken the last byte', () => {
        const options = { connectionWindow: 65_535, maxConcurrentStreams: 1 };
        const server = serverWithTunnel(options);
        end(server);
        const stream = server.stream(1);
        server.output.take();
        expect(stream.unconsumed).to.equal(16_384);
        expect(server.connection.export()).to.include({
          receiveLeft: 65_535 - 16_384,
          receiveCredit: 0,
        });
        server.receive(headers(3, CONNECT_BLOCK));
        expect(describeFrames(server.output.take())).to.deep.equal(['RST_STREAM 3 00000007']);
        server.connection.consume(stream, 16_000);
        expect([stream.closed, server.connection.streamCount]).to.deep.equal([false, 1]);
        server.connection.consume(stream, 384);
        expect([stream.closed, server.connection.streamCount]).to.deep.equal([true, 0]);
        expect(describeFrames(server.output.take())).to.deep.equal(['WINDOW_UPDATE 0 00004000']);
      });

      it('moves, and closes in the other process', () => {
        const server = serverWithTunnel({ connectionWindow: 65_535 });
        end(server);
        const state = structuredClone(server.connection.export());
        const restored = Http2Connection.restore(state, server.recorder, server.output);
        server.output.take();
        const [stream] = [...restored.streams()];
        expect(stream?.unconsumed).to.equal(16_384);
        restored.consume(stream!, 16_384);
        expect(restored.streamCount).to.equal(0);
        expect(describeFrames(server.output.take())).to.deep.equal(['WINDOW_UPDATE 0 00004000']);
      });

      it('is not taken away by a late RST_STREAM of the peer', () => {
        const server = serverWithTunnel({ connectionWindow: 65_535 });
        end(server);
        server.recorder.take();
        server.receive(frame(3, 0, 1, Buffer.alloc(4)));
        expect(server.recorder.take()).to.deep.equal([]);
        expect(server.stream(1).unconsumed).to.equal(16_384);
      });
    });

  it('gives padding back to stream and connection', () => {
    const server = serverWithTunnel({ initialWindowSize: 400, connectionWindow: 65_535 });
    server.receive(frame(0, 0x8, 1, Buffer.concat([hex('63 61'), Buffer.alloc(99)])));
    expect(describeFrames(server.output.take())).to.deep.equal(['WINDOW_UPDATE 1 00000064']);
    expect(server.recorder.take()).to.deep.equal([['data', 1, 'a', false]]);
    expect(server.connection.export().receiveCredit).to.equal(100);
  });

  it('resets a stream whose peer ignores its window, and closes a connection likewise', () => {
    const server = serverWithTunnel({ initialWindowSize: 10, connectionWindow: 65_535 });
    server.receive(data(1, 'x'.repeat(11)));
    expect(server.recorder.take()).to.deep.equal([['reset', 1, ErrorCode.flowControlError, false]]);
    server.receive(headers(3, CONNECT_BLOCK));
    const other = serverWithTunnel({ connectionWindow: 65_535 });
    for (let i = 0; i < 4; i++) other.receive(frame(0, 0, 1, Buffer.alloc(16_384)));
    expect(other.recorder.take().at(-1)?.slice(0, 2)).to.deep.equal([
      'fault',
      ErrorCode.flowControlError,
    ]);
  });

  it('lets the peer use the default window until it has acknowledged a smaller one', () => {
    const server = new Peer('server', { initialWindowSize: 10 });
    server.receive(Buffer.concat([CLIENT_START, headers(1, CONNECT_BLOCK)]));
    server.receive(data(1, 'x'.repeat(1000)));
    server.receive(Buffer.concat([SETTINGS_ACK, data(1, 'x')]));
    expect(server.recorder.take().map(([name]) => name)).to.deep.equal([
      'settings',
      'headers',
      'data',
      'reset',
    ]);
  });

  it('holds sending back while a smaller initial window made a window negative', () => {
    const server = serverWithTunnel({});
    const stream = server.stream(1);
    expect(writeData(server, stream, Buffer.alloc(1000), false)).to.equal(1000);
    server.receive(frame(4, 0, 0, setting(4, 400)));
    expect(stream.sendWindow).to.equal(-600);
    expect(server.connection.dataAllowance(stream)).to.equal(0);
    server.receive(windowUpdate(1, 600));
    expect(server.recorder.take()).to.deep.equal([['settings']]);
    server.receive(frame(4, 0, 0, setting(4, 401)));
    expect(server.recorder.take()).to.deep.equal([['settings'], ['window', 1]]);
    expect(server.connection.dataAllowance(stream)).to.equal(1);
  });

  it('tells once when the window of the connection is open again', () => {
    const server = serverWithTunnel({});
    server.receive(frame(4, 0, 0, setting(4, 1_000_000)));
    const stream = server.stream(1);
    let sent = 0;
    for (let taken = 1; taken > 0; sent += taken)
      taken = writeData(server, stream, Buffer.alloc(100_000), false);
    expect(sent).to.equal(65_535);
    server.recorder.take();
    server.receive(Buffer.concat([windowUpdate(0, 5), windowUpdate(0, 5)]));
    expect(server.recorder.take()).to.deep.equal([['window', undefined]]);
    expect(server.connection.dataAllowance(stream)).to.equal(10);
  });

  it('dataAllowance() obeys the frame size of the peer', () => {
    const server = serverWithTunnel({});
    server.receive(frame(4, 0, 0, setting(5, 20_000)));
    expect(server.connection.dataAllowance(server.stream(1))).to.equal(20_000);
  });

  it('commitData() sends what the caller has put behind the end of the output', () => {
    const server = serverWithTunnel({});
    expect(server.output.reserve(9 + 5)).to.equal(true);
    server.output.bytes.write('hello', server.output.end + 9);
    server.connection.commitData(server.stream(1), 5, false);
    expect(describeFrames(server.output.take())).to.deep.equal(['DATA 1 68656c6c6f']);
    expect(() => server.connection.commitData(server.stream(1), 16_385, false)).to.throw(
      'allowance',
    );
  });

  it('keeps credit that finds no room, and flushCredit() gives it', () => {
    const server = serverWithTunnel({ initialWindowSize: 1000, connectionWindow: 65_535 });
    server.receive(data(1, 'x'.repeat(1000)));
    server.output.limit = 0;
    server.connection.consume(server.stream(1), 1000);
    server.output.limit = 100;
    server.connection.flushCredit();
    expect(describeFrames(server.output.take())).to.deep.equal(['WINDOW_UPDATE 1 000003e8']);
    server.connection.flushCredit();
    expect(server.output.end).to.equal(0);
    expect(server.recorder.take().map(([name]) => name)).to.deep.equal(['data']);
  });

  it('writeData() takes nothing, and loses nothing, when the output has no room', () => {
    const [client, server] = connectedPair();
    const stream = client.connection.openStream(CONNECT, false)!;
    exchange(client, server);
    client.output.limit = 12;
    expect(writeData(client, stream, Buffer.from('hello'), true)).to.equal(0);
    expect(client.connection.openStream(CONNECT, false)).to.equal(undefined);
    client.output.limit = 1000;
    expect(writeData(client, stream, Buffer.from('hello'), true)).to.equal(5);
    expect(client.connection.openStream(CONNECT, false)?.id).to.equal(3);
    server.recorder.take();
    exchange(client, server);
    expect(server.recorder.take().map(([name, id]) => `${name} ${String(id)}`)).to.deep.equal([
      'data 1',
      'headers 3',
    ]);
  });
});
