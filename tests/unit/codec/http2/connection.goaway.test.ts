import { expect } from 'chai';
import { describe, it } from 'mocha';

import { ErrorCode } from '#codec/http2/frame.ts';
import { writeData } from '#tests/support/write-data.ts';

import { CONNECT_BLOCK, data, describeFrames, headers } from './frames.ts';
import { CONNECT, connectedPair, exchange, OK } from './peers.ts';

describe('Http2Connection, GOAWAY', () => {
  it('drain() takes streams that were on their way, goaway() no more, and open ones go on', () => {
    const [client, server] = connectedPair();
    const first = client.connection.openStream(CONNECT, false)!;
    exchange(client, server);
    server.connection.drain();
    client.connection.openStream(CONNECT, false);
    exchange(client, server);
    expect(server.connection.streamCount).to.equal(2);
    expect(client.connection.canOpenStream()).to.equal(false);
    expect(client.connection.openStream(CONNECT, false)).to.equal(undefined);
    expect(client.recorder.take()).to.deep.equal([['goaway', 0x7fff_ffff, 0, '']]);

    server.connection.goaway(ErrorCode.noError, 'bye');
    exchange(client, server);
    expect(client.recorder.take()).to.deep.equal([['goaway', 3, 0, 'bye']]);
    writeData(client, first, Buffer.from('still here'), true);
    server.connection.sendHeaders(server.stream(1), OK, true);
    server.recorder.take();
    exchange(client, server);
    expect(server.recorder.take()).to.deep.equal([['data', 1, 'still here', true]]);
    expect(client.recorder.take()).to.deep.equal([['headers', 1, [':status: 200'], true]]);
  });

  it('goaway() drops later streams unseen, keeps the header tables, and gives their bytes back', () => {
    const [client, server] = connectedPair();
    client.connection.openStream(CONNECT, false);
    exchange(client, server);
    server.connection.goaway(ErrorCode.noError);
    server.recorder.take();
    server.output.take();
    server.receive(Buffer.concat([headers(3, CONNECT_BLOCK), data(3, 'abc')]));
    client.connection.openStream([...CONNECT, ['a', 'b']], false);
    server.receive(client.output.take());
    expect(server.recorder.take()).to.deep.equal([]);
    expect(server.output.end).to.equal(0);
    expect(server.connection.export().receiveCredit).to.equal(3);
    expect(server.connection.export().decoder.entries).to.deep.include(['a', 'b']);
    expect(server.connection.export().lastProcessed).to.equal(1);
  });

  it('a GOAWAY resets our streams above its last one, and no others', () => {
    const [client, server] = connectedPair();
    client.connection.openStream(CONNECT, false);
    exchange(client, server);
    client.connection.openStream(CONNECT, false);
    client.connection.openStream(CONNECT, false);
    server.connection.goaway(ErrorCode.enhanceYourCalm);
    client.receive(server.output.take());
    expect(client.recorder.take()).to.deep.equal([
      ['goaway', 1, ErrorCode.enhanceYourCalm, ''],
      ['reset', 3, ErrorCode.refusedStream, true],
      ['reset', 5, ErrorCode.refusedStream, true],
    ]);
    expect([...client.connection.streams()].map((stream) => stream.id)).to.deep.equal([1]);
  });

  it('ping() comes back in onPong', () => {
    const [client, server] = connectedPair();
    client.connection.ping(Number.MAX_SAFE_INTEGER);
    expect(describeFrames(Buffer.from(client.output.bytes.subarray(0, 17)))).to.deep.equal([
      'PING 0 001fffffffffffff',
    ]);
    exchange(client, server);
    expect(client.recorder.take()).to.deep.equal([['pong', Number.MAX_SAFE_INTEGER]]);
    expect(() => client.connection.ping(-1)).to.throw('PING payload is -1');
  });

  it('canOpenStream() is false at the limit of the peer', () => {
    const [client, server] = connectedPair({}, { maxConcurrentStreams: 1 });
    const stream = client.connection.openStream(CONNECT, false)!;
    expect(client.connection.canOpenStream()).to.equal(false);
    expect(server.connection.canOpenStream()).to.equal(false);
    client.connection.reset(stream, ErrorCode.cancel);
    expect(client.connection.canOpenStream()).to.equal(true);
  });

  it('sends header blocks beyond the frame size of the peer in several frames', () => {
    const [client, server] = connectedPair({}, { maxFrameSize: 16_384 });
    const large = 'x-'.repeat(15_000);
    client.connection.openStream([...CONNECT, ['a', large]], false);
    const frames = describeFrames(Buffer.from(client.output.bytes.subarray(0, client.output.end)));
    expect(frames.map((line) => line.split(' ')[0])).to.deep.equal(['HEADERS', 'CONTINUATION']);
    exchange(client, server);
    const [event] = server.recorder.take();
    expect(event?.[2]).to.deep.equal([
      ':method: CONNECT',
      ':authority: 10.0.0.1:80',
      `a: ${large}`,
    ]);
  });
});
