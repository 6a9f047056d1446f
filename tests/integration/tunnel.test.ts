import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  type AddressInfo,
  createConnection,
  createServer,
  type Server,
  type Socket,
} from 'node:net';

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import type { Http2Stream } from '#codec/http2/stream-state.ts';
import { parseIp, type SocketAddress } from '#common/net/address.ts';
import type { Leftover } from '#hbone/leftover.ts';
import { defaultTunnelOptions } from '#hbone/options.ts';
import { type DialTunnel, TunnelPool, type TunnelTarget } from '#hbone/pool.ts';
import { type StreamObserver, StreamRelay } from '#hbone/stream.ts';
import type { StreamEnd } from '#hbone/stream-end.ts';
import {
  STAGING_BYTES,
  Tunnel,
  type TunnelEnd,
  type TunnelHost,
  type TunnelOwner,
} from '#hbone/tunnel.ts';
import { EAGAIN } from '#linux/libc.ts';
import { acceptTcp, connectTcp, listenTcp, localAddress, peerAddress } from '#linux/socket.ts';
import { type EventHandler, type Loop, READABLE } from '#reactor/loop.ts';
import { SlabPool } from '#reactor/memory.ts';
import { closeSocket } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import type { Timer } from '#reactor/timers.ts';
import { allocateTlsBuffers } from '#reactor/tls/buffers.ts';
import { TlsContext } from '#reactor/tls/context.ts';
import { limitSendBuffer } from '#tests/support/still.ts';
import { APP, TestAuthority } from '#tests/support/tls-material.ts';

const loopback = parseIp('127.0.0.1')!;

class Accept implements EventHandler {
  readonly fd: number;
  readonly port: number;
  readonly #take: (fd: number) => void;

  constructor(take: (fd: number) => void) {
    const opened = listenTcp({
      address: { ip: loopback, port: 0 },
      transparent: false,
      reusePort: false,
      backlog: 1_024,
    });
    if (!('fd' in opened)) throw new Error('listen');
    this.fd = opened.fd;
    this.port = localAddress(opened.fd)!.port;
    this.#take = take;
  }

  onEvents(): void {
    for (let fd = acceptTcp(this.fd); fd !== -EAGAIN; fd = acceptTcp(this.fd)) this.#take(fd);
  }
}

function dialTcp(to: SocketAddress): number {
  const dialed = connectTcp({ to });
  if (!('fd' in dialed)) throw new Error(dialed.call);
  return dialed.fd;
}

/** Ends of relays, in order, for assertions. */
class Ends implements StreamObserver {
  readonly seen: StreamEnd[] = [];
  readonly waiters: (() => void)[] = [];
  onConnectedDo: () => void = () => undefined;

  onResponse(headers: readonly (readonly [string, string])[]): string | undefined {
    const status = headers.find(([name]) => name === ':status')?.[1];
    return status === '200' ? undefined : `status ${status}`;
  }

  onConnected(): void {
    this.onConnectedDo();
  }

  onRelayEnd(end: StreamEnd): void {
    this.seen.push(end);
    for (const wake of this.waiters.splice(0)) wake();
  }

  onTunnelOutlived(rest: Leftover): void {
    rest.start();
  }
}

/**
 * What two node proxies do, in one process: connections to `entry` go through one pool of tunnels to `exit`,
 * which connects to the application.
 */
class Pair {
  readonly loop: Loop;
  readonly host: TunnelHost;
  readonly client = new Ends();
  readonly server = new Ends();
  readonly clientRelays = new Set<StreamRelay>();
  readonly serverRelays = new Set<StreamRelay>();
  readonly serverTunnels = new Set<Tunnel>();
  readonly tunnelEnds: TunnelEnd[] = [];
  readonly pool: TunnelPool;
  readonly entry: Accept;
  readonly exit: Accept;
  readonly target: TunnelTarget;
  readonly serverOwner: TunnelOwner;
  status = '200';

  constructor(loop: Loop, appPort: () => number, expected: readonly string[] = [APP]) {
    this.loop = loop;
    this.host = {
      loop,
      buffers: allocateTlsBuffers(),
      staging: new SlabPool(STAGING_BYTES, 4),
      options: defaultTunnelOptions,
      ending: new Set(),
    };
    const context = new TlsContext(new TestAuthority().issue());
    const answer = (tunnel: Tunnel, stream: Http2Stream): void => {
      if (this.status !== '200') {
        tunnel.respond(stream, [[':status', this.status]], true);
        tunnel.reset(stream, 0);
        return;
      }
      const fd = dialTcp({ ip: loopback, port: appPort() });
      const observer = new Ends();
      observer.onConnectedDo = () => tunnel.respond(stream, [[':status', '200']], false);
      observer.onRelayEnd = (end) => {
        this.serverRelays.delete(relay);
        if (end.kind === 'failed' && end.stage === 'dial') {
          tunnel.respond(stream, [[':status', '503']], true);
          tunnel.reset(stream, 0);
        }
        this.server.onRelayEnd(end);
      };
      const relay = new StreamRelay(loop, tunnel, stream, { fd, phase: 'connecting' }, observer);
      this.serverRelays.add(relay);
      relay.start();
    };
    this.serverOwner = {
      onTunnelPeer: (tunnel, peer) => {
        tunnel.peerIdentity = peer.uris[0] ?? '';
        return undefined;
      },
      onTunnelOpen: () => undefined,
      onTunnelRoom: () => undefined,
      onTunnelRequest: answer,
      onTunnelEnd: (tunnel, end) => {
        this.serverTunnels.delete(tunnel);
        this.tunnelEnds.push(end);
      },
      onTunnelClosed: () => undefined,
    };
    this.exit = new Accept((fd) => {
      const ends = { fd, local: localAddress(fd)!, remote: peerAddress(fd)! };
      this.serverTunnels.add(Tunnel.accept(this.host, this.serverOwner, context, ends));
    });
    const dial: DialTunnel = (target, owner) => {
      const fd = dialTcp(target.address);
      const ends = { fd, local: localAddress(fd)!, remote: target.address };
      return { tunnel: Tunnel.dial(this.host, owner, context, ends) };
    };
    this.pool = new TunnelPool(dial);
    this.target = {
      sourceIdentity: APP,
      expectedIdentities: expected,
      address: { ip: loopback, port: this.exit.port },
      sourceIp: '127.0.0.1',
    };
    this.entry = new Accept((fd) => {
      // Less than a stream window.
      limitSendBuffer(fd, 256 << 10);
      this.#outbound(fd);
    });
    loop.add(this.exit, READABLE);
    loop.add(this.entry, READABLE);
  }

  #outbound(fd: number): void {
    this.pool.acquire(this.target, {
      onTunnelReady: (tunnel) => {
        const stream = tunnel.openStream([
          [':method', 'CONNECT'],
          [':authority', '127.0.0.1:80'],
        ])!;
        const observer = new Ends();
        observer.onRelayEnd = (end) => {
          this.clientRelays.delete(relay);
          this.client.onRelayEnd(end);
        };
        const relay = new StreamRelay(
          this.loop,
          tunnel,
          stream,
          { fd, phase: 'requested' },
          observer,
        );
        this.clientRelays.add(relay);
        relay.start();
      },
      onTunnelFailed: (end) => {
        closeSocket(fd);
        this.tunnelEnds.push(end);
      },
    });
  }

  close(): void {
    for (const accept of [this.entry, this.exit]) {
      this.loop.remove(accept);
      closeSocket(accept.fd);
    }
    this.pool.close('test over');
    for (const tunnel of this.serverTunnels) {
      tunnel.close({ failed: false, reason: 'test over', stage: 'open' });
    }
  }

  connect(): Socket {
    return createConnection({ host: '127.0.0.1', port: this.entry.port, allowHalfOpen: true });
  }
}

async function serve(handler: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    handler(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** The application has sent its FIN; the answer and its end are here, and most of it waits for the application. */
async function halfClosed(both: Pair): Promise<Socket> {
  const socket = both.connect();
  socket.pause();
  socket.end('request');
  await once(socket, 'finish');
  for (;;) {
    const [relay] = both.clientRelays;
    const [serverRelay] = both.serverRelays;
    // The far side is done as soon as everything is in the tunnel.
    const state = relay?.export();
    if (serverRelay === undefined && state?.peerEnded === true && state.appEnded) {
      expect(state.pending.length).to.be.greaterThan(0);
      return socket;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

describe('a tunnel between two relays', () => {
  let loop: Loop;
  let echo: Server;
  const servers: Server[] = [];
  const pairs: Pair[] = [];

  const pair = (app: () => number, expected?: readonly string[]): Pair => {
    const made = new Pair(loop, app, expected);
    pairs.push(made);
    return made;
  };

  before(async () => {
    loop = await openThreadLoop();
    loop.onFault = (error) => {
      throw error;
    };
    loop.start();
    echo = await serve((socket) => socket.pipe(socket));
    servers.push(echo);
  });

  after(() => {
    for (const each of pairs) each.close();
    for (const server of servers) server.close();
    loop.stop();
  });

  it('carries what an application writes and what comes back, to the end of both', async () => {
    const both = pair(() => portOf(echo));
    const socket = both.connect();
    socket.end('hello');
    expect((await readAll(socket)).toString()).to.equal('hello');
    expect(both.client.seen).to.deep.equal([{ kind: 'complete' }]);
  });

  it('carries 64 MB both ways at once, unchanged', async () => {
    const both = pair(() => portOf(echo));
    const socket = both.connect();
    const sent = createHash('sha256');
    const block = randomBytes(1_048_576);
    const reading = readAll(socket);
    for (let count = 0; count < 64; count++) {
      block.writeUInt32LE(count, 0);
      sent.update(block);
      if (!socket.write(Buffer.from(block))) await once(socket, 'drain');
    }
    socket.end();
    const received = await reading;
    expect(received.length).to.equal(64 * 1_048_576);
    expect(createHash('sha256').update(received).digest('hex')).to.equal(sent.digest('hex'));
  });

  it('shares one tunnel among streams up to its limit, and uses freed places again', async () => {
    const both = pair(() => portOf(echo));
    for (let round = 0; round < 3; round++) {
      const sockets = Array.from({ length: 150 }, () => both.connect());
      await Promise.all(
        sockets.map(async (socket) => {
          socket.write('x');
          await once(socket, 'data');
        }),
      );
      expect(both.serverTunnels.size).to.equal(2);
      await Promise.all(
        sockets.map(async (socket) => {
          socket.end();
          socket.resume();
          await once(socket, 'close');
        }),
      );
    }
  });

  it('stops reading from an application whose peer does not read, and goes on when it does', async () => {
    let slow: Socket | undefined;
    const server = await serve((socket) => {
      slow = socket;
      socket.pause();
    });
    servers.push(server);
    const both = pair(() => portOf(server));
    const socket = both.connect();
    let written = 0;
    const block = Buffer.alloc(1_048_576, 7);
    // Windows (4 MiB) and socket buffers take some; then the writer must stand still.
    for (;;) {
      if (socket.write(block)) {
        written += block.length;
        continue;
      }
      written += block.length;
      const drained = once(socket, 'drain');
      const still = await Promise.race([
        drained.then(() => false),
        new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 500)),
      ]);
      if (still) break;
      expect(written).to.be.lessThan(200 * 1_048_576);
    }
    const relays = [...both.serverRelays];
    expect(relays[0]!.export().pending.length).to.be.at.most(4_194_304);
    socket.end();
    slow!.resume();
    let received = 0;
    slow!.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    await once(slow!, 'end');
    expect(received).to.equal(written);
    slow!.end();
    socket.resume();
    await once(socket, 'close');
  });

  it('resets the application when the request is refused', async () => {
    const both = pair(() => portOf(echo));
    both.status = '401';
    const socket = both.connect();
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).to.equal('ECONNRESET');
    expect(both.client.seen).to.deep.equal([
      { kind: 'failed', stage: 'response', reason: 'status 401' },
    ]);
  });

  it('resets the client when the application resets', async () => {
    const server = await serve((socket) => {
      socket.once('data', () => socket.resetAndDestroy());
    });
    servers.push(server);
    const both = pair(() => portOf(server));
    const socket = both.connect();
    socket.write('go');
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).to.equal('ECONNRESET');
  });

  it('answers 503 when the application does not listen', async () => {
    const both = pair(() => 1);
    const socket = both.connect();
    await once(socket, 'error');
    expect(both.client.seen).to.deep.equal([
      { kind: 'failed', stage: 'response', reason: 'status 503' },
    ]);
  });

  it('refuses a peer that is not who was expected', async () => {
    const both = pair(() => portOf(echo), ['spiffe://cluster.local/ns/default/sa/other']);
    const socket = both.connect();
    socket.on('error', () => undefined);
    socket.end();
    socket.resume();
    await once(socket, 'close');
    expect(both.tunnelEnds[0]?.reason).to.contain('identity error');
    expect(both.server.seen).to.deep.equal([]);
  });

  it('moves with everything open, in the middle of a transfer, and loses no byte', async () => {
    const both = pair(() => portOf(echo));
    const socket = both.connect();
    const total = 48;
    const block = randomBytes(1_048_576);
    const sent = createHash('sha256');
    const reading = readAll(socket);
    const writing = (async (): Promise<void> => {
      for (let count = 0; count < total; count++) {
        block.writeUInt32LE(count, 0);
        sent.update(block);
        if (!socket.write(Buffer.from(block))) await once(socket, 'drain');
      }
      socket.end();
    })();
    // A handshake can't move; what comes after it can, at any moment.
    while (both.serverTunnels.size === 0 || ![...both.serverTunnels].every((one) => one.canMove)) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    for (let move = 0; move < 6; move++) {
      await new Promise((resolve) => setTimeout(resolve, 15));
      moveEverything(both);
    }
    await writing;
    const received = await reading;
    expect(received.length).to.equal(total * 1_048_576);
    expect(createHash('sha256').update(received).digest('hex')).to.equal(sent.digest('hex'));
  });

  describe('a half-closed connection whose application reads slowly', () => {
    // Within one stream window, and more than the sockets on the way hold.
    const answer = randomBytes(4_000_000);
    let app: Server;

    before(async () => {
      // Ends its answer when it has seen the end of the request.
      app = await serve((socket) => {
        socket.resume();
        socket.on('end', () => socket.end(answer));
      });
      servers.push(app);
    });

    it('keeps its stream until the application has read all', async () => {
      const both = pair(() => portOf(app));
      const socket = await halfClosed(both);
      const { tunnel } = [...both.pool.open()][0]!;
      expect(tunnel.streamCount).to.equal(1);
      expect((await readAll(socket)).equals(answer)).to.equal(true);
      expect(both.client.seen).to.deep.equal([{ kind: 'complete' }]);
      expect(tunnel.streamCount).to.equal(0);
    });

    it('gives the application all of it although the tunnel has ended', async () => {
      const both = pair(() => portOf(app));
      const socket = await halfClosed(both);
      const { tunnel } = [...both.pool.open()][0]!;
      tunnel.close({ failed: true, reason: 'peer lost', stage: 'open' });
      expect(both.client.seen).to.deep.equal([]);
      expect((await readAll(socket)).equals(answer)).to.equal(true);
      expect(both.client.seen).to.deep.equal([{ kind: 'complete' }]);
    });

    it('is reset, and gives its place up, when the application reads nothing for five minutes', async () => {
      const both = pair(() => portOf(app));
      const dueMs = dueTimes(loop);
      const socket = await halfClosed(both);
      const [relay] = both.clientRelays;
      expect(dueMs.get(relay!)! - loop.nowMs).to.be.within(290_000, 300_000);
      const { tunnel } = [...both.pool.open()][0]!;
      const failed = once(socket, 'error');
      relay!.onTimer();
      expect(tunnel.streamCount).to.equal(0);
      const reason = "application read nothing for 300 s after the stream's end";
      expect(both.client.seen).to.deep.equal([{ kind: 'failed', stage: 'tunnel', reason }]);
      socket.resume();
      expect(((await failed)[0] as NodeJS.ErrnoException).code).to.equal('ECONNRESET');
    });

    it('has five minutes again with every byte that the application reads', async () => {
      const both = pair(() => portOf(app));
      const dueMs = dueTimes(loop);
      const socket = await halfClosed(both);
      const [relay] = both.clientRelays;
      let last = dueMs.get(relay!)!;
      let moved = 0;
      socket.on('data', () => {
        const due = dueMs.get(relay!)!;
        if (due > last) moved++;
        last = due;
      });
      socket.resume();
      await once(socket, 'end');
      expect(moved).to.be.greaterThan(1);
      expect(both.client.seen).to.deep.equal([{ kind: 'complete' }]);
    });

    it('moves, and loses no byte', async () => {
      const both = pair(() => portOf(app));
      const socket = await halfClosed(both);
      moveEverything(both);
      const { tunnel } = [...both.pool.open()][0]!;
      expect(tunnel.streamCount).to.equal(1);
      expect((await readAll(socket)).equals(answer)).to.equal(true);
      expect(tunnel.streamCount).to.equal(0);
    });
  });

  for (const task of ['onTimer', 'onTurnEnd'] as const) {
    it(`is closed, with what goes through it, when its ${task}() throws`, async () => {
      const both = pair(() => portOf(echo));
      const socket = both.connect();
      socket.on('error', () => undefined);
      socket.write('x');
      await once(socket, 'data');
      const [tunnel] = both.serverTunnels;
      const reported: unknown[] = [];
      const rethrow = loop.onFault;
      loop.onFault = (error) => reported.push(error);
      tunnel![task] = () => {
        throw new Error('a bug');
      };
      if (task === 'onTimer') loop.timers.schedule(tunnel!, 0);
      else loop.atTurnEnd(tunnel!);
      await new Promise((resolve) => socket.once('close', resolve));
      loop.onFault = rethrow;
      expect(reported.map(String)).to.deep.equal(['Error: a bug']);
      expect(both.tunnelEnds).to.deep.include({
        failed: true,
        reason: 'internal error: a bug',
        stage: 'open',
      });
    });
  }
});

/** When each timer is due that is set from now on. */
function dueTimes(loop: Loop): ReadonlyMap<Timer, number> {
  const due = new Map<Timer, number>();
  const schedule = loop.timers.schedule.bind(loop.timers);
  loop.timers.schedule = (timer, atMs) => {
    due.set(timer, atMs);
    schedule(timer, atMs);
  };
  return due;
}

/** Freezes all relays and tunnels, and replaces each by one made from its exported state. */
function moveEverything(both: Pair): void {
  const relays = [...both.clientRelays, ...both.serverRelays];
  const clientTunnels = [...both.pool.open()];
  const tunnels = [...both.serverTunnels, ...clientTunnels.map(({ tunnel }) => tunnel)];
  for (const relay of relays) relay.freeze();
  for (const tunnel of tunnels) tunnel.freeze();
  const thaw: (() => void)[] = [];
  const moved = new Map<Tunnel, Tunnel>();
  for (const tunnel of both.serverTunnels) {
    const state = structuredClone(tunnel.export());
    const next = Tunnel.restore(both.host, both.serverOwner, state, tunnel.fd);
    moved.set(tunnel, next);
  }
  const targets = clientTunnels.map(({ tunnel, target }) => ({
    tunnel,
    target,
    state: structuredClone(tunnel.export()),
  }));
  for (const { tunnel, target, state } of targets) {
    const next = both.pool.adopt(
      target,
      (owner, given) => Tunnel.restore(both.host, owner, given, tunnel.fd),
      state,
    );
    moved.set(tunnel, next);
  }
  both.pool.disown(targets.map(({ tunnel }) => tunnel));
  both.serverTunnels.clear();
  for (const [former, next] of moved) {
    if (former.role === 'server') both.serverTunnels.add(next);
    thaw.push(() => next.thaw());
  }
  for (const relay of relays) {
    const side = both.clientRelays.delete(relay) ? both.clientRelays : both.serverRelays;
    both.serverRelays.delete(relay);
    const tunnel = moved.get(relay.tunnel)!;
    const state = structuredClone(relay.export());
    const observer = new Ends();
    const next = StreamRelay.restore(
      both.loop,
      tunnel,
      tunnel.streamById(state.streamId),
      state,
      relay.fd,
      observer,
    );
    // It may have moved before the application's socket was connected.
    observer.onConnectedDo = () => tunnel.respond(next.stream, [[':status', '200']], false);
    observer.onRelayEnd = () => side.delete(next);
    side.add(next);
    thaw.push(() => next.start());
  }
  for (const each of thaw) each();
}
