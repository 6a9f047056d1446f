import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { Http2Connection } from '#codec/http2/connection.ts';
import { ErrorCode, Flag } from '#codec/http2/frame.ts';
import { writeData } from '#tests/support/write-data.ts';

import { CONNECT_BLOCK, data, headers } from './frames.ts';
import { CONNECT, connectedPair, exchange, OK, type Peer } from './peers.ts';

const MAX = 3;

describe('Http2Connection, streams that both sides have ended and nobody has read', () => {
  let client: Peer;
  let server: Peer;
  let nextId: number;

  beforeEach(() => {
    [client, server] = connectedPair({}, { maxConcurrentStreams: MAX });
    nextId = 1;
  });

  /** A new stream of the peer: its id when the server takes it. */
  function open(): number | undefined {
    const id = nextId;
    nextId += 2;
    server.receive(headers(id, CONNECT_BLOCK));
    return server.recorder.take().some(([name]) => name === 'headers') ? id : undefined;
  }

  /** One that both have ended, with a byte that waits. */
  function linger(): number {
    const id = open();
    if (id === undefined) throw new Error('refused');
    server.connection.sendHeaders(server.stream(id), OK, true);
    server.receive(data(id, 'x', Flag.endStream));
    server.recorder.take();
    return id;
  }

  it('do not count for the streams that the peer may have open: for it they are closed', () => {
    for (let count = 1; count < MAX; count++) linger();
    for (let count = 0; count < MAX; count++) expect(open()).not.to.equal(undefined);
    expect(server.connection.streamCount).to.equal(2 * MAX - 1);
    server.output.take();
    expect(open()).to.equal(undefined);
    expect(server.output.take().readUInt32BE(9)).to.equal(ErrorCode.refusedStream);
  });

  it('are no more than the peer may have open: beyond that new ones are refused until one is read', () => {
    const ids = Array.from({ length: MAX }, linger);
    expect(open()).to.equal(undefined);
    server.connection.consume(server.stream(ids[0]!), 1);
    expect(open()).not.to.equal(undefined);
    expect(server.connection.streamCount).to.equal(MAX);
  });

  it('are no more than that after a hand-over', () => {
    for (let count = 0; count < MAX; count++) linger();
    const state = structuredClone(server.connection.export());
    server.connection = Http2Connection.restore(state, server.recorder, server.output);
    expect(open()).to.equal(undefined);
    const [first] = server.connection.streams();
    server.connection.reset(first!, ErrorCode.cancel);
    expect(open()).not.to.equal(undefined);
  });

  it('do not count for the streams that we may open', () => {
    const first = client.connection.openStream(CONNECT, true)!;
    for (let count = 1; count < MAX; count++) client.connection.openStream(CONNECT, false);
    exchange(client, server);
    expect(client.connection.canOpenStream()).to.equal(false);
    server.connection.sendHeaders(server.stream(first.id), OK, false);
    writeData(server, server.stream(first.id), Buffer.from('x'), true);
    exchange(client, server);
    expect(first.unconsumed).to.equal(1);
    expect(client.connection.canOpenStream()).to.equal(true);
  });
});
