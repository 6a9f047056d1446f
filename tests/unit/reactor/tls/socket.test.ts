import { randomBytes } from 'node:crypto';

import { expect } from 'chai';
import { after, describe, it } from 'mocha';

import { TlsContext } from '#reactor/tls/context.ts';
import { TlsSocket } from '#reactor/tls/socket.ts';
import { APP, TestAuthority } from '#tests/support/tls-material.ts';
import {
  openTlsPair,
  passedDescriptor,
  Recorder,
  tlsPair,
  useTlsBench,
} from '#tests/support/tls-sockets.ts';

describe('TlsSocket', () => {
  const bench = useTlsBench();
  const authority = new TestAuthority();
  const context = new TlsContext(authority.issue());
  after(() => {
    context.free();
    authority.dispose();
  });

  it('opens on both sides with the name of the peer', async () => {
    const { client, server } = await openTlsPair(bench, context);
    expect(client.peer?.uris).to.deep.equal([APP]);
    expect(server.peer?.uris).to.deep.equal([APP]);
    client.socket.end();
    expect(await server.untilEnd()).to.deep.equal({ kind: 'closed' });
    expect(await client.untilEnd()).to.deep.equal({ kind: 'closed' });
  });

  it('carries bytes both ways', async () => {
    const { client, server } = await openTlsPair(bench, context);
    client.write('hello');
    await server.until(() => server.text === 'hello');
    server.write('world');
    await client.until(() => client.text === 'world');
    client.socket.destroy();
    expect(await server.untilEnd()).to.deep.equal({ kind: 'truncated' });
  });

  it('sends what the owner writes in onTlsOpen behind its own last flight', async () => {
    const { client, server } = tlsPair(bench, context);
    client.onOpen = () => client.write('first');
    server.onOpen = () => server.write('second');
    await server.until(() => server.text === 'first');
    await client.until(() => client.text === 'second');
    client.socket.end();
    await Promise.all([client.untilEnd(), server.untilEnd()]);
  });

  it('refuses a server before the client has shown its certificate', async () => {
    const { client, server } = tlsPair(bench, context);
    client.refusal = 'not the one';
    expect(await client.untilEnd()).to.deep.equal({
      kind: 'error',
      code: 'TLS_PEER_REFUSED',
      message: 'not the one',
    });
    expect(await server.untilEnd()).to.deep.equal({
      kind: 'alert',
      code: 49,
      name: 'access_denied',
    });
    expect(server.peer).to.equal(undefined);
  });

  it('refuses a client with an alert that it can read', async () => {
    const { client, server } = tlsPair(bench, context);
    server.refusal = 'two names';
    expect(await client.untilEnd()).to.deep.equal({
      kind: 'alert',
      code: 49,
      name: 'access_denied',
    });
    expect(await server.untilEnd()).to.include({ code: 'TLS_PEER_REFUSED' });
  });

  it('moves many records with back-pressure and loses no byte', async () => {
    const { client, server } = await openTlsPair(bench, context);
    const sent = randomBytes(3 << 20);
    let at = 0;
    const more = (): void => {
      while (!client.socket.blocked && at < sent.length) {
        client.write(sent.subarray(at, (at += 300_000)));
      }
    };
    client.onDrained = more;
    more();
    await server.until(() => server.bytes === sent.length);
    expect(Buffer.concat(server.received).equals(sent)).to.equal(true);
    expect(client.drained).to.be.greaterThan(0);
    client.socket.end();
    await server.untilEnd();
  });

  it('goes on from its exported state in the middle of traffic', async () => {
    const { client, server } = await openTlsPair(bench, context);
    client.write('before ');
    await server.until(() => server.text === 'before ');
    server.socket.freeze();
    const state = structuredClone(server.socket.export());
    client.write('while frozen ');
    const next = new Recorder(bench);
    const fd = passedDescriptor(server.socket.fd);
    server.socket.release();
    next.socket = TlsSocket.restore(bench.loop, bench.buffers, state, fd, next);
    next.socket.thaw();
    client.write('after');
    await next.until(() => next.text === 'while frozen after');
    next.write('answer');
    await client.until(() => client.text === 'answer');
    client.socket.end();
    expect(await next.untilEnd()).to.deep.equal({ kind: 'closed' });
  });
});
