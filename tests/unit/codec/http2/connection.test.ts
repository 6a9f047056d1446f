import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { Header } from '#codec/http2/field.ts';
import { ErrorCode } from '#codec/http2/frame.ts';
import { writeData } from '#tests/support/write-data.ts';

import { CONNECT, connectedPair, exchange, OK, Peer } from './peers.ts';

describe('Http2Connection', () => {
  it('start() tells each side the settings of the other', () => {
    const client = new Peer('client');
    const server = new Peer('server', { maxConcurrentStreams: 7 });
    expect(client.connection.peerSettingsSeen).to.equal(false);
    exchange(client, server);
    expect(client.recorder.take()).to.deep.equal([['settings']]);
    expect(server.recorder.take()).to.deep.equal([['settings']]);
    expect(client.connection.peerMaxConcurrentStreams).to.equal(7);
  });

  it('carries a CONNECT tunnel with data both ways, each direction to its own end', () => {
    const [client, server] = connectedPair();
    const stream = client.connection.openStream(CONNECT, false)!;
    exchange(client, server);
    expect(server.recorder.take()).to.deep.equal([
      ['headers', 1, [':method: CONNECT', ':authority: 10.0.0.1:80'], false],
    ]);
    server.connection.sendHeaders(server.stream(1), OK, false);
    exchange(client, server);
    expect(client.recorder.take()).to.deep.equal([['headers', 1, [':status: 200'], false]]);

    const hello = Buffer.from('hello');
    expect(writeData(client, stream, hello.subarray(0, 5), true)).to.equal(5);
    exchange(client, server);
    expect(server.recorder.take()).to.deep.equal([['data', 1, 'hello', true]]);
    expect(stream.state).to.equal('half-closed-local');
    expect(server.stream(1).state).to.equal('half-closed-remote');

    expect(writeData(server, server.stream(1), hello.subarray(1, 4), false)).to.equal(3);
    server.connection.commitData(server.stream(1), 0, true);
    exchange(client, server);
    expect(client.recorder.take()).to.deep.equal([['data', 1, 'ell', true]]);
    server.connection.consume(server.stream(1), 5);
    client.connection.consume(stream, 3);
    expect(stream.state).to.equal('closed');
    expect(client.connection.streamCount).to.equal(0);
    expect(server.connection.streamCount).to.equal(0);
  });

  it('carries a request and a response with interim answers, content and trailers', () => {
    const [client, server] = connectedPair();
    const get: Header[] = [
      [':method', 'POST'],
      [':scheme', 'https'],
      [':path', '/a'],
      [':authority', 'a.example'],
    ];
    const stream = client.connection.openStream(get, true)!;
    exchange(client, server);
    const { connection } = server;
    connection.sendHeaders(server.stream(1), [[':status', '103']], false);
    connection.sendHeaders(
      server.stream(1),
      [
        [':status', '200'],
        ['content-length', '5'],
      ],
      false,
    );
    writeData(server, server.stream(1), Buffer.from('hello'), false);
    expect(connection.sendHeaders(server.stream(1), [['grpc-status', '0']], true)).to.equal(true);
    expect(connection.sendHeaders(server.stream(1), OK, true)).to.equal(false);
    exchange(client, server);
    expect(client.recorder.take()).to.deep.equal([
      ['headers', 1, [':status: 103'], false],
      ['headers', 1, [':status: 200', 'content-length: 5'], false],
      ['data', 1, 'hello', false],
      ['headers', 1, ['grpc-status: 0'], true],
    ]);
    client.connection.consume(stream, 5);
    expect(stream.state).to.equal('closed');
    expect(client.connection.streamCount).to.equal(0);
    expect(server.connection.streamCount).to.equal(0);
  });

  it('takes a response to HEAD that has a content-length and no content', () => {
    const [client, server] = connectedPair();
    const head: Header[] = [
      [':method', 'HEAD'],
      [':scheme', 'https'],
      [':path', '/'],
    ];
    client.connection.openStream(head, true);
    exchange(client, server);
    server.connection.sendHeaders(server.stream(1), [...OK, ['content-length', '5']], true);
    exchange(client, server);
    expect(client.recorder.take().map(([name]) => name)).to.deep.equal(['headers']);
    expect(client.connection.streamCount).to.equal(0);
  });

  it('reset() ends a stream on both sides and tells only the other one', () => {
    const [client, server] = connectedPair();
    const stream = client.connection.openStream(CONNECT, false)!;
    exchange(client, server);
    client.connection.reset(stream, ErrorCode.cancel);
    exchange(client, server);
    expect(server.recorder.take().at(-1)).to.deep.equal(['reset', 1, ErrorCode.cancel, true]);
    expect(client.recorder.take()).to.deep.equal([]);
    expect(server.connection.streamCount).to.equal(0);
  });

  it('dataAllowance() is 0 when a window is used up, and onSendWindow tells when it is open again', () => {
    const [client, server] = connectedPair({}, { initialWindowSize: 10 });
    const stream = client.connection.openStream(CONNECT, false)!;
    expect(writeData(client, stream, Buffer.alloc(25), true)).to.equal(10);
    expect(client.connection.dataAllowance(stream)).to.equal(0);
    exchange(client, server);
    expect(client.recorder.take()).to.deep.equal([]);
    server.connection.consume(server.stream(1), 6);
    exchange(client, server);
    expect(client.recorder.take()).to.deep.equal([['window', 1]]);
    expect(client.connection.dataAllowance(stream)).to.equal(6);
  });
});
