import { setTimeout as sleep } from 'node:timers/promises';

import { expect } from 'chai';
import { after, afterEach, beforeEach, describe, it } from 'mocha';

import { parseSocketAddress, type SocketAddress } from '#common/net/address.ts';
import { listenTcp, localAddress } from '#linux/socket.ts';
import { openSocketPair } from '#linux/socket-pair.ts';
import { allocateSlab } from '#reactor/memory.ts';
import { closeSocket, sendFrom, sendProgress, setLinger0, shutdownWrite } from '#reactor/socket.ts';
import { TlsContext } from '#reactor/tls/context.ts';
import { Handshake } from '#reactor/tls/handshake.ts';
import { TlsSocket } from '#reactor/tls/socket.ts';
import { openDescriptors } from '#tests/support/descriptors.ts';
import { quickestMs } from '#tests/support/quickest.ts';
import { limitReceiveBuffer, limitSendBuffer, untilStill } from '#tests/support/still.ts';
import { TestAuthority } from '#tests/support/tls-material.ts';
import {
  clientOf,
  connectTo,
  Listener,
  openTlsPair,
  Recorder,
  serveOne,
  slabOf,
  tlsPair,
  useTlsBench,
} from '#tests/support/tls-sockets.ts';
import { wholeNowMs } from '#tests/support/whole-milliseconds.ts';

describe('The end of a TlsSocket', () => {
  const bench = useTlsBench();
  const authority = new TestAuthority();
  const material = authority.issue();
  const context = new TlsContext(material);
  after(() => {
    context.free();
    authority.dispose();
  });

  /** A server whose other end is a bare descriptor. */
  function bareServer(deadlineMs = 10_000): { server: Recorder; fd: number } {
    const [fd, serverFd] = openSocketPair();
    const server = new Recorder(bench);
    const { loop, buffers } = bench;
    server.socket = TlsSocket.accept(loop, buffers, context, serverFd, server, deadlineMs);
    return { server, fd };
  }

  it('is an errno when nobody listens', async () => {
    const { loop, buffers } = bench;
    const listener = new Listener(loop, () => undefined);
    listener.close();
    const client = new Recorder(bench);
    const fd = connectTo(listener.port);
    client.socket = TlsSocket.connect(loop, buffers, context, fd, client, 10_000);
    expect(client.socket.state).to.equal('connecting');
    expect(await client.untilEnd()).to.deep.equal({
      kind: 'error',
      code: 'ECONNREFUSED',
      message: 'connection refused (ECONNREFUSED)',
    });
    expect(client.socket.state).to.equal('closed');
  });

  it('is a connect timeout, not one of the handshake, when the peer answers nothing', async () => {
    const { loop, buffers } = bench;
    const address = parseSocketAddress('127.0.0.1:0') as SocketAddress;
    const full = listenTcp({ address, transparent: false, reusePort: false, backlog: 0 });
    if (!('fd' in full)) throw new Error(full.call);
    const port = localAddress(full.fd)?.port ?? 0;
    // The kernel drops the SYN of whoever comes when the queue is full.
    const waiting = [connectTo(port), connectTo(port)];
    const client = new Recorder(bench);
    client.socket = TlsSocket.connect(loop, buffers, context, connectTo(port), client, 60);
    expect(await client.untilEnd()).to.include({ kind: 'error', code: 'ETIMEDOUT' });
    for (const fd of [full.fd, ...waiting]) closeSocket(fd);
  });

  it('is a timeout when the handshake does not end by its deadline', async () => {
    const { server, fd } = bareServer(60);
    expect(await server.untilEnd()).to.include({ kind: 'error', code: 'TLS_TIMEOUT' });
    closeSocket(fd);
  });

  it('says so when the peer closes during the handshake', async () => {
    const { server, fd } = bareServer();
    send(fd, Buffer.from([22, 3, 1]));
    closeSocket(fd);
    expect(await server.untilEnd()).to.include({ code: 'TLS_HANDSHAKE_CUT' });
  });

  for (const [what, bytes] of [
    ['HTTP', 'GET / HTTP/1.1\r\n\r\n'],
    ['zeros', Buffer.alloc(1_000)],
    ['ones', Buffer.alloc(1_000, 255)],
    ['an alert', Buffer.from([21, 3, 3, 0, 2, 2, 40])],
  ] as const) {
    it(`is an error when the peer begins with ${what}`, async () => {
      const { server, fd } = bareServer();
      send(fd, bytes);
      expect((await server.untilEnd()).kind).to.be.oneOf(['error', 'alert']);
      closeSocket(fd);
    });
  }

  it('frees what 1,000 half-made handshakes hold by their deadline', async () => {
    const before = openDescriptors().size;
    const timersBefore = bench.loop.timers.size;
    const hello = clientHello();
    const servers: Recorder[] = [];
    const peers: number[] = [];
    for (let index = 0; index < 1_000; index++) {
      const { server, fd } = bareServer(250);
      servers.push(server);
      peers.push(fd);
      // Silent, in the middle of a hello, or waiting for our answer to be answered.
      if (index % 3 > 0) send(fd, index % 3 === 1 ? hello.subarray(0, 50) : hello);
    }
    for (const server of servers) {
      expect(await server.untilEnd()).to.include({ code: 'TLS_TIMEOUT' });
    }
    for (const fd of peers) closeSocket(fd);
    expect(openDescriptors().size).to.equal(before);
    expect(bench.loop.timers.size).to.equal(timersBefore);
  });

  function clientHello(): Buffer {
    const handshake = new Handshake(context, 'client');
    handshake.step();
    const slab = allocateSlab(10_000);
    const length = handshake.takeOutput(slab);
    handshake.free();
    return slab.bytes.subarray(0, length);
  }

  it('comes for a context that was freed before the handshake began', async () => {
    const short = new TlsContext(material);
    const { client, server } = tlsPair(bench, context, short);
    short.free();
    await Promise.all([client.untilOpen(), server.untilOpen()]);
    client.socket.end();
    await Promise.all([client.untilEnd(), server.untilEnd()]);
  });

  it('waits for the last bytes of a blocked socket', async () => {
    const { client, server } = await openTlsPair(bench, context);
    const bytes = Buffer.alloc(2 << 20, 7);
    server.socket.pauseReading();
    client.write(bytes);
    expect(client.socket.blocked).to.equal(true);
    client.socket.end();
    expect(client.socket.state).to.equal('closing');
    server.socket.resumeReading();
    expect(await server.untilEnd()).to.deep.equal({ kind: 'closed' });
    expect(server.bytes).to.equal(bytes.length);
    expect(await client.untilEnd()).to.deep.equal({ kind: 'closed' });
  });

  describe('with bytes that the peer has not taken', () => {
    let client: Recorder;
    let server: Recorder;
    const bytes = Buffer.alloc(3 << 20, 7);

    beforeEach(async () => {
      const served = serveOne(bench, context);
      server = served.server;
      client = clientOf(bench, context, served.port);
      await Promise.all([client.untilOpen(), server.untilOpen()]);
      server.socket.pauseReading();
      limitReceiveBuffer(server.socket.fd, 128 << 10);
      limitSendBuffer(client.socket.fd, 128 << 10);
      client.write(bytes);
      expect(client.socket.blocked).to.equal(true);
      client.socket.end();
      // Time is what the tests say.
      bench.loop.timers.cancel(client.socket);
      await untilStill(client.socket.fd);
    });
    afterEach(() => {
      client.socket.destroy();
      server.socket.destroy();
    });

    it('waits while the peer takes some of them, however long that is', async () => {
      let nowMs = wholeNowMs();
      for (let least = 1 << 20; least < bytes.length; least += 1 << 20) {
        server.socket.resumeReading();
        await server.until(() => server.bytes >= least);
        server.socket.pauseReading();
        await untilStill(client.socket.fd);
        nowMs += 50_000;
        client.socket.onTimer(nowMs);
        expect(client.end).to.equal(undefined);
      }
      server.socket.resumeReading();
      expect(await server.untilEnd()).to.deep.equal({ kind: 'closed' });
      expect(server.bytes).to.equal(bytes.length);
      expect(await client.untilEnd()).to.deep.equal({ kind: 'closed' });
    });

    it('comes when it has taken nothing for a minute', () => {
      const nowMs = wholeNowMs();
      client.socket.onTimer(nowMs);
      client.socket.onTimer(nowMs + 59_000);
      expect(client.end).to.equal(undefined);
      client.socket.onTimer(nowMs + 60_000);
      expect(client.end).to.include({ code: 'TLS_TIMEOUT' });
    });

    it('waits for a peer that has ended its own direction first', async () => {
      const events = countEvents(client.socket);
      shutdownWrite(server.socket.fd);
      while (events() === 0) await sleep(1);
      expect(client.socket.state).to.equal('closing');
      server.socket.resumeReading();
      expect(await server.untilEnd()).to.deep.equal({ kind: 'closed' });
      expect(server.bytes).to.equal(bytes.length);
    });
  });

  it('waits on, once the peer has everything, while it says something, for a minute', async () => {
    const { client, server } = await openTlsPair(bench, context);
    server.socket.pauseReading();
    client.socket.end();
    bench.loop.timers.cancel(client.socket);
    while (sendProgress(client.socket.fd)?.waits === true) await sleep(1);
    const nowMs = wholeNowMs();
    for (let second = 1; second <= 60; second++) {
      server.write('credit');
      await client.until(() => client.text.length === second * 'credit'.length);
      client.socket.onTimer(nowMs + second * 1_000);
      expect(client.end, `${second} s`).to.equal(undefined);
    }
    server.write('credit');
    await client.until(() => client.text.length === 61 * 'credit'.length);
    client.socket.onTimer(nowMs + 61_000);
    expect(client.end).to.include({ code: 'TLS_TIMEOUT' });
    server.socket.destroy();
  });

  it('comes after one second when the peer does not answer ours', async () => {
    const { client, server } = await openTlsPair(bench, context);
    server.socket.freeze();
    const beganMs = performance.now();
    client.socket.end();
    expect(await client.untilEnd()).to.include({ code: 'TLS_TIMEOUT' });
    expect(performance.now() - beganMs).to.be.at.least(990);
    server.socket.destroy();
  });

  it('is told once when the owner writes more than a blocked connection may keep', async () => {
    const { client, server } = await openTlsPair(bench, context);
    server.socket.pauseReading();
    for (let written = 0; written < 12; written++) client.write(Buffer.alloc(1 << 20));
    expect(await client.untilEnd()).to.include({ code: 'TLS_WRITE_OVERFLOW' });
    server.socket.destroy();
  });

  it('is no event of the call that meets it: write() to a peer that has gone', async () => {
    const { client, server } = await openTlsPair(bench, context);
    client.socket.pauseReading();
    server.socket.destroy();
    client.write('one');
    client.write('two');
    expect(client.end).to.equal(undefined);
    expect((await client.untilEnd()).kind).to.equal('error');
  });

  it('is the alert of the peer, not the reset that follows it', async () => {
    const { client, server } = tlsPair(bench, context);
    server.refusal = 'no';
    client.onOpen = () => client.write(Buffer.alloc(100_000));
    expect(await client.untilEnd()).to.include({ kind: 'alert', name: 'access_denied' });
    await server.untilEnd();
  });

  it('comes once, and the kernel does not wake a paused connection that was reset', async () => {
    const listener: { fd: number } = { fd: -1 };
    const { loop, buffers } = bench;
    const accepted = Promise.withResolvers<void>();
    const opened = new Listener(loop, (fd) => {
      listener.fd = fd;
      accepted.resolve();
      loop.returnToNode();
    });
    const client = new Recorder(bench);
    const fd = connectTo(opened.port);
    client.socket = TlsSocket.connect(loop, buffers, context, fd, client, 10_000);
    await accepted.promise;
    opened.close();
    const server = new Recorder(bench);
    server.socket = TlsSocket.accept(loop, buffers, context, listener.fd, server, 10_000);
    await Promise.all([client.untilOpen(), server.untilOpen()]);
    client.socket.pauseReading();
    const events = countEvents(client.socket);
    setLinger0(listener.fd);
    server.socket.destroy();
    expect(await client.untilEnd()).to.include({ code: 'ECONNRESET' });
    expect(events()).to.be.within(1, 3);
  });

  it('waits for a paused reader, and the hang-up does not spin', async () => {
    const { client, server } = await openTlsPair(bench, context);
    client.socket.pauseReading();
    const events = countEvents(client.socket);
    server.write('last words');
    client.socket.end();
    server.socket.end();
    await server.untilEnd();
    const waitedMs = await quickestMs(() => new Promise((resolve) => setTimeout(resolve, 50)));
    expect(waitedMs).to.be.lessThan(900);
    expect(events()).to.be.lessThan(5);
    expect(client.end).to.equal(undefined);
    client.socket.resumeReading();
    expect(await client.untilEnd()).to.deep.equal({ kind: 'closed' });
    expect(client.text).to.equal('last words');
  });

  it('leaves the others alone when an owner throws', async () => {
    const bad = await openTlsPair(bench, context);
    const good = await openTlsPair(bench, context);
    const faults = bench.loop.faults;
    bad.server.onData = () => {
      throw new Error('in the owner');
    };
    bad.client.write('x');
    good.client.write('y');
    expect(await bad.server.untilEnd()).to.include({ code: 'TLS_INTERNAL_ERROR' });
    await good.server.until(() => good.server.text === 'y');
    expect(bench.loop.faults).to.equal(faults + 1);
    good.client.socket.destroy();
    await Promise.all([good.server.untilEnd(), bad.client.untilEnd()]);
  });

  it('may be made within every call: destroy() in onTlsOpen and in onPlaintext', async () => {
    const inOpen = tlsPair(bench, context);
    inOpen.server.onOpen = () => inOpen.server.socket.destroy();
    expect((await inOpen.client.untilEnd()).kind).to.be.oneOf(['truncated', 'error']);
    expect(inOpen.server.end).to.equal(undefined);

    const inData = await openTlsPair(bench, context);
    inData.server.onData = () => inData.server.socket.destroy();
    inData.client.write('x');
    inData.client.socket.end();
    await inData.client.untilEnd();
    expect(inData.server.end).to.equal(undefined);
  });

  it('delivers nothing after pauseReading(), also what came along with the handshake', async () => {
    const { client, server } = tlsPair(bench, context);
    client.onOpen = () => client.write('with the handshake');
    server.onOpen = () => server.socket.pauseReading();
    await server.untilOpen();
    server.write('answer');
    await client.until(() => client.text === 'answer');
    expect(server.text).to.equal('');
    server.socket.resumeReading();
    await server.until(() => server.text === 'with the handshake');
    client.socket.destroy();
    await server.untilEnd();
  });
});

function send(fd: number, bytes: Uint8Array | string): void {
  const slab = slabOf(bytes);
  expect(sendFrom(fd, slab, 0, slab.size - 1)).to.equal(slab.size - 1);
}

/** Counts calls of onEvents, to see a handler that the kernel wakes again and again. */
function countEvents(socket: TlsSocket): () => number {
  let count = 0;
  const original = socket.onEvents.bind(socket);
  socket.onEvents = (events: number): void => {
    count++;
    original(events);
  };
  return () => count;
}
