import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect } from 'chai';
import { after, afterEach, before, beforeEach, describe, it } from 'mocha';

import { defaultTunnelOptions } from '#hbone/options.ts';
import { StreamRelay } from '#hbone/stream.ts';
import type { StreamEnd } from '#hbone/stream-end.ts';
import { STAGING_BYTES, Tunnel, type TunnelOwner } from '#hbone/tunnel.ts';
import { localAddress, peerAddress } from '#linux/socket.ts';
import { ByteBudget } from '#reactor/byte-budget.ts';
import { SlabPool } from '#reactor/memory.ts';
import { TlsContext } from '#reactor/tls/context.ts';
import { Frame, RawHttp2Client } from '#tests/support/raw-http2-client.ts';
import { limitSendBuffer } from '#tests/support/still.ts';
import { TestAuthority } from '#tests/support/tls-material.ts';
import { connectTo, Listener, useTlsBench } from '#tests/support/tls-sockets.ts';

const LIMIT_BYTES = 2 << 20;
const ENHANCE_YOUR_CALM = 11;

describe('a tunnel whose applications read too slowly', () => {
  const bench = useTlsBench();
  const authority = new TestAuthority();
  let context: TlsContext;
  let app: Server;
  let listener: Listener;
  let tunnel: Tunnel;
  let client: RawHttp2Client;
  let budget: ByteBudget;
  /** By stream. */
  let relays: Map<number, StreamRelay>;
  let ends: Map<number, StreamEnd>;
  /** The applications' ends, in the order in which they came. */
  let sockets: Socket[];

  before(async () => {
    context = new TlsContext(authority.issue());
    app = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      socket.on('error', () => undefined);
      sockets.push(socket);
    });
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
  });
  after(() => {
    app.close();
    context.free();
  });

  beforeEach(async () => {
    [relays, ends, sockets] = [new Map(), new Map(), []];
    budget = new ByteBudget(LIMIT_BYTES);
    const { loop, buffers } = bench;
    const host = {
      loop,
      buffers,
      staging: new SlabPool(STAGING_BYTES, 4),
      options: defaultTunnelOptions,
      ending: new Set<Tunnel>(),
    };
    const owner: TunnelOwner = {
      onTunnelPeer: () => undefined,
      onTunnelOpen: () => undefined,
      onTunnelRoom: () => undefined,
      onTunnelRequest: (server, stream) => {
        const fd = connectTo((app.address() as AddressInfo).port);
        limitSendBuffer(fd, 64 << 10);
        const relay = new StreamRelay(loop, server, stream, { fd, phase: 'connecting' } as const, {
          waitingBytes: budget,
          onResponse: () => undefined,
          onConnected: () => server.respond(stream, [[':status', '200']], false),
          onTunnelOutlived: (rest) => rest.start(),
          onRelayEnd: (end) => ends.set(stream.id, end),
        });
        relays.set(stream.id, relay);
        relay.start();
      },
      onTunnelEnd: () => undefined,
      onTunnelClosed: () => undefined,
    };
    listener = new Listener(loop, (fd) => {
      const both = { fd, local: localAddress(fd)!, remote: peerAddress(fd)! };
      tunnel = Tunnel.accept(host, owner, context, both);
    });
    client = await RawHttp2Client.open(authority.issue(), listener.port);
  });
  afterEach(() => {
    listener.close();
    client[Symbol.dispose]();
    tunnel.close({ failed: false, reason: 'test over', stage: 'open' });
    for (const socket of sockets) socket.destroy();
  });

  async function open(streamId: number): Promise<Socket> {
    const count = sockets.length;
    client.connect(streamId);
    await client.until(() => client.of(Frame.headers, streamId).length > 0);
    while (sockets.length === count) await sleep(1);
    return sockets.at(-1)!;
  }

  /** Sends so many bytes, and waits until they have been heard. */
  async function send(streamId: number, count: number): Promise<void> {
    const frame = Buffer.alloc(1 << 14, 1);
    for (let sent = 0; sent < count; sent += frame.length) {
      client.frame(Frame.data, 0, streamId, frame);
    }
    await client.ping();
  }

  it('resets the stream that holds most when the budget is full, and no other', async () => {
    await open(1);
    const modest = await open(3);
    await send(3, 1 << 18);
    await send(1, 3 << 20);
    await client.until(() => client.of(Frame.resetStream).length > 0);
    expect(
      client.of(Frame.resetStream).map(({ streamId, payload }) => [streamId, payload[3]]),
    ).to.deep.equal([[1, ENHANCE_YOUR_CALM]]);
    expect([...ends]).to.deep.equal([
      [
        1,
        {
          kind: 'failed',
          stage: 'tunnel',
          reason: 'the application reads too slowly, and too much waits for others too',
        },
      ],
    ]);
    expect(budget.bytes).to.be.lessThan(LIMIT_BYTES / 2);
    modest.resume();
    while (modest.bytesRead < 1 << 18) await sleep(1);
    while (budget.bytes > 0) await sleep(1);
  });

  it('gives no credit to who holds most when the budget is half used, until it has nothing', async () => {
    const slow = await open(1);
    const count = 3 << 19;
    await send(1, count);
    const { stream } = relays.get(1)!;
    const held = stream.unconsumed;
    expect(budget.bytes).to.be.greaterThan(LIMIT_BYTES / 2);
    let lowest = held;
    slow.on('data', () => {
      if (budget.bytes > LIMIT_BYTES / 2) lowest = Math.min(lowest, stream.unconsumed);
    });
    slow.resume();
    while (slow.bytesRead < count) await sleep(1);
    expect(lowest).to.equal(held);
    while (budget.bytes > 0) await sleep(1);
    expect(stream.unconsumed).to.equal(0);
    expect(ends.size).to.equal(0);
  });
});
