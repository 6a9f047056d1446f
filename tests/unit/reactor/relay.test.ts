import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  type AddressInfo,
  createConnection,
  createServer,
  type Server,
  type Socket,
} from 'node:net';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';

import { expect } from 'chai';
import { after, afterEach, before, beforeEach, describe, it } from 'mocha';

import { parseIp } from '#common/net/address.ts';
import { EAGAIN } from '#linux/libc.ts';
import { acceptTcp, connectTcp, listenTcp, localAddress } from '#linux/socket.ts';
import { openSocketPair } from '#linux/socket-pair.ts';
import { type EventHandler, type Loop, READABLE } from '#reactor/loop.ts';
import { allocateSlab, type Slab } from '#reactor/memory.ts';
import { type RelayEnd, type RelayObserver, SocketRelay } from '#reactor/relay.ts';
import { closeSocket, receiveInto } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { openDescriptors } from '#tests/support/descriptors.ts';

const loopback = parseIp('127.0.0.1')!;
const MEGABYTE = 1_048_576;
const STALL_MS = 150;
/** A socket that is watched for nothing that can be done makes thousands of turns in this time. */
// Sockets of earlier tests may still be ending; a loop that spins does 100,000 turns and more in this time.
const STALL_TURNS_MAX = 10_000;

/** One relay between a client of its listener and the application at `port`. */
class Bench implements EventHandler, RelayObserver {
  readonly fd: number;
  readonly port: number;
  readonly ends: RelayEnd[] = [];
  relay: SocketRelay | undefined;
  /** Makes the relay and leaves it alone. */
  startsAtOnce = true;
  readonly #loop: Loop;
  readonly #scratch: Slab;
  readonly #appPort: number;
  readonly #ended = Promise.withResolvers<RelayEnd>();

  constructor(loop: Loop, scratch: Slab, appPort: number) {
    this.#loop = loop;
    this.#scratch = scratch;
    this.#appPort = appPort;
    const address = { ip: loopback, port: 0 };
    const opened = listenTcp({ address, transparent: false, reusePort: false, backlog: 8 });
    if (!('fd' in opened)) throw new Error(opened.call);
    this.fd = opened.fd;
    this.port = localAddress(opened.fd)!.port;
    loop.add(this, READABLE);
  }

  onEvents(): void {
    const downstreamFd = acceptTcp(this.fd);
    if (downstreamFd === -EAGAIN) return;
    const dialed = connectTcp({ to: { ip: loopback, port: this.#appPort } });
    if (!('fd' in dialed)) throw new Error(dialed.call);
    const ends = { downstreamFd, upstreamFd: dialed.fd };
    this.relay = new SocketRelay(this.#loop, this.#scratch, ends, this);
    if (this.startsAtOnce) this.relay.start();
  }

  onRelayEnd(end: RelayEnd): void {
    this.ends.push(end);
    this.#ended.resolve(end);
    this.#loop.returnToNode();
  }

  /** The relay has noticed that the application has answered. */
  async connected(): Promise<void> {
    while (this.relay?.export().connecting !== false) await nextTurn();
  }

  get ended(): Promise<RelayEnd> {
    return this.#ended.promise;
  }

  /** Replaces the relay by one made from its state, on the same sockets. True: bytes waited in it. */
  move(): boolean {
    const former = this.relay;
    if (former === undefined || this.ends.length > 0) return false;
    former.freeze();
    const state = structuredClone(former.export());
    const ends = { downstreamFd: former.downstream.fd, upstreamFd: former.upstream.fd };
    this.relay = new SocketRelay(this.#loop, this.#scratch, ends, this, state);
    this.relay.start();
    return state.downstream.pending.length + state.upstream.pending.length > 0;
  }

  close(): void {
    this.#loop.remove(this);
    closeSocket(this.fd);
    this.relay?.abort();
  }
}

describe('SocketRelay', () => {
  let loop: Loop;
  let scratch: Slab;
  let descriptors: number;
  const benches: Bench[] = [];
  const servers: Server[] = [];
  const sockets: Socket[] = [];

  before(async () => {
    loop = await openThreadLoop();
    loop.onFault = (error) => {
      throw error;
    };
    loop.start();
    scratch = allocateSlab(262_144);
  });
  after(() => loop.stop());

  beforeEach(() => {
    descriptors = openDescriptors().size;
  });

  afterEach(async () => {
    for (const bench of benches.splice(0)) bench.close();
    for (const socket of sockets.splice(0)) {
      socket.destroy();
      if (!socket.closed) await once(socket, 'close');
    }
    for (const server of servers.splice(0)) server.close();
    // Node closes its sockets a little later.
    const giveUpMs = performance.now() + 1_000;
    while (openDescriptors().size > descriptors && performance.now() < giveUpMs) await nextTurn();
    expect(openDescriptors().size).to.be.at.most(descriptors);
  });

  /** A client and the application, with a relay between them. */
  const connect = async (): Promise<{ client: Socket; app: Socket; bench: Bench }> => {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const bench = new Bench(loop, scratch, (server.address() as AddressInfo).port);
    const port = bench.port;
    const client = createConnection({ host: '127.0.0.1', port, allowHalfOpen: true });
    const [app] = (await once(server, 'connection')) as [Socket];
    servers.push(server);
    benches.push(bench);
    for (const socket of [client, app]) {
      socket.on('error', () => undefined);
      sockets.push(socket);
    }
    await bench.connected();
    return { client, app, bench };
  };

  const turnsOfStall = async (): Promise<number> => {
    const { turns } = loop;
    await delay(STALL_MS);
    return loop.turns - turns;
  };

  for (const first of ['client', 'application'] as const) {
    it(`passes a half-close on, of the ${first} first, and carries the other direction to its end`, async () => {
      const { client, app, bench } = await connect();
      const [one, other] = first === 'client' ? [client, app] : [app, client];
      one.end('question');
      expect((await readAll(other)).toString()).to.equal('question');
      expect(bench.ends).to.deep.equal([]);
      // Nothing comes, and nothing is looked for in vain.
      expect(await turnsOfStall()).to.be.below(STALL_TURNS_MAX);
      other.end('answer');
      expect((await readAll(one)).toString()).to.equal('answer');
      expect(await bench.ended).to.deep.equal({ kind: 'complete' });
    });
  }

  for (const slow of ['client', 'application'] as const) {
    it(`stands still, without turning, while the ${slow} does not read, and loses nothing`, async () => {
      const { client, app, bench } = await connect();
      const [writer, reader] = slow === 'client' ? [app, client] : [client, app];
      reader.pause();
      const written = await fill(writer);
      const { downstream, upstream } = bench.relay!.export();
      expect(downstream.pending.length + upstream.pending.length).to.be.within(1, scratch.size);
      expect(await turnsOfStall()).to.be.below(STALL_TURNS_MAX);
      writer.end();
      let read = 0;
      reader.on('data', (chunk: Buffer) => {
        read += chunk.length;
      });
      reader.resume();
      await once(reader, 'end');
      expect(read).to.equal(written);
    });
  }

  it('does not turn when the client hangs up while the application does not read', async () => {
    const { client, app, bench } = await connect();
    await fill(client);
    client.destroy();
    expect(await turnsOfStall()).to.be.below(STALL_TURNS_MAX);
    app.resume();
    app.end();
    await once(app, 'close');
    expect((await bench.ended).kind).to.equal('complete');
  });

  for (const who of ['client', 'application'] as const) {
    for (const state of ['idle', 'stalled'] as const) {
      it(`passes a reset by the ${who} on while it is ${state}`, async () => {
        const { client, app, bench } = await connect();
        const [one, other] = who === 'client' ? [client, app] : [app, client];
        if (state === 'stalled') await fill(other);
        const reset = once(other, 'error') as Promise<[NodeJS.ErrnoException]>;
        other.resume();
        one.resetAndDestroy();
        const [{ code }] = await reset;
        expect(code).to.be.oneOf(['ECONNRESET', 'EPIPE']);
        const side = who === 'client' ? 'downstream' : 'upstream';
        const end = await bench.ended;
        expect(end.kind).to.equal('complete');
        expect(end)
          .to.have.property('closedBy')
          .that.matches(new RegExp(`^${side} reset`));
      });
    }
  }

  it('resets the client when the application does not listen', async () => {
    const bench = new Bench(loop, scratch, 1);
    benches.push(bench);
    const client = createConnection({ host: '127.0.0.1', port: bench.port });
    sockets.push(client);
    const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).to.equal('ECONNRESET');
    expect(await bench.ended).to.deep.equal({
      kind: 'failed',
      dialing: true,
      reason: 'connection refused (ECONNREFUSED)',
    });
  });

  it('gives an application that does not answer 10 s, then resets the client', async () => {
    // Its time is told by hand.
    const still = await openThreadLoop();
    const [client, downstreamFd] = openSocketPair();
    const [upstreamFd, nobody] = openSocketPair();
    const ends: RelayEnd[] = [];
    const relay = new SocketRelay(
      still,
      scratch,
      { downstreamFd, upstreamFd },
      {
        onRelayEnd: (end) => ends.push(end),
      },
    );
    const advance = (toMs: number): void =>
      still.timers.advance(toMs, (_timer, error) => {
        throw error;
      });
    relay.start();
    // The time in which it was frozen does not count.
    relay.freeze();
    advance(still.nowMs + 10_100);
    expect(ends).to.deep.equal([]);
    still.nowMs += 10_100;
    relay.start();
    advance(still.nowMs + 9_900);
    expect(ends).to.deep.equal([]);
    advance(still.nowMs + 10_100);
    const reason = 'no answer for 10 s';
    expect(ends).to.deep.equal([{ kind: 'failed', dialing: true, reason }]);
    expect(receiveInto(client, scratch, 0, 1), 'a closed connection').to.equal(0);
    for (const fd of [client, nobody]) closeSocket(fd);
    still.stop();
  });

  it('has no deadline once the application has answered', async () => {
    const { bench } = await connect();
    expect(bench.relay?.export().connecting).to.equal(false);
    expect(loop.timers.size).to.equal(0);
  });

  it('moves before the application has answered', async () => {
    const server = createServer((socket) => socket.end('hello'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    servers.push(server);
    const bench = new Bench(loop, scratch, (server.address() as AddressInfo).port);
    benches.push(bench);
    bench.startsAtOnce = false;
    const client = createConnection({ host: '127.0.0.1', port: bench.port });
    sockets.push(client);
    await once(server, 'connection');
    expect(bench.relay?.export().connecting).to.equal(true);
    expect(bench.move()).to.equal(false);
    expect((await readAll(client)).toString()).to.equal('hello');
    expect(await bench.ended).to.deep.equal({ kind: 'complete' });
  });

  it('moves in the middle of transfers both ways, with bytes that wait, and loses none', async () => {
    const { client, app, bench } = await connect();
    // More than the sockets of the whole way take without a reader.
    const total = 48;
    const both = Promise.all([stream(client, total), stream(app, total)]);
    let waited = 0;
    const enough = Promise.withResolvers<void>();
    let moves = 0;
    const moving = setInterval(() => {
      moves++;
      if (bench.move() && ++waited === 5) enough.resolve();
    }, 3);
    await enough.promise;
    const sums = await Promise.all([digest(app), digest(client)]);
    clearInterval(moving);
    expect(sums).to.deep.equal(await both);
    expect(await bench.ended).to.deep.equal({ kind: 'complete' });
    expect(moves).to.be.greaterThan(10);
    const { downstream, upstream } = bench.relay!;
    expect([downstream.received, upstream.received]).to.deep.equal([
      total * MEGABYTE,
      total * MEGABYTE,
    ]);
  });

  it('moves half-closed, in either direction', async () => {
    for (const first of ['client', 'application'] as const) {
      const { client, app, bench } = await connect();
      const [one, other] = first === 'client' ? [client, app] : [app, client];
      one.end('question');
      await readAll(other);
      bench.move();
      other.end('answer');
      expect((await readAll(one)).toString()).to.equal('answer');
      expect(await bench.ended).to.deep.equal({ kind: 'complete' });
    }
  });

  it('touches nothing while it is frozen, and goes on when it is started again', async () => {
    const { client, app, bench } = await connect();
    bench.relay!.freeze();
    client.write('waits');
    app.resume();
    let came = '';
    app.on('data', (chunk: Buffer) => {
      came += chunk.toString();
    });
    expect(await turnsOfStall()).to.be.below(STALL_TURNS_MAX);
    expect(came).to.equal('');
    bench.relay!.start();
    await once(app, 'data');
    expect(came).to.equal('waits');
  });
});

/** Writes until nothing more is taken. */
async function fill(socket: Socket): Promise<number> {
  const block = Buffer.alloc(MEGABYTE, 7);
  for (let written = MEGABYTE; ; written += MEGABYTE) {
    if (socket.write(block)) continue;
    const drained = once(socket, 'drain').then(() => true);
    drained.catch(() => undefined);
    if (!(await Promise.race([drained, delay(STALL_MS, false)]))) return written;
  }
}

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.resume();
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

/** Writes that many megabytes and ends; their digest. */
async function stream(socket: Socket, megabytes: number): Promise<string> {
  const hash = createHash('sha256');
  for (let count = 0; count < megabytes; count++) {
    const block = randomBytes(MEGABYTE);
    hash.update(block);
    if (!socket.write(block)) await once(socket, 'drain');
  }
  socket.end();
  return hash.digest('hex');
}

async function digest(socket: Socket): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}
