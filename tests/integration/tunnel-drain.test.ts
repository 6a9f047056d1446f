import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect } from 'chai';
import { after, afterEach, before, beforeEach, describe, it } from 'mocha';

import { defaultTunnelOptions } from '#hbone/options.ts';
import { StreamRelay } from '#hbone/stream.ts';
import type { StreamEnd } from '#hbone/stream-end.ts';
import {
  STAGING_BYTES,
  Tunnel,
  type TunnelEnd,
  type TunnelHost,
  type TunnelOwner,
} from '#hbone/tunnel.ts';
import { localAddress, peerAddress } from '#linux/socket.ts';
import { SlabPool } from '#reactor/memory.ts';
import { TlsContext } from '#reactor/tls/context.ts';
import { Frame, RawHttp2Client } from '#tests/support/raw-http2-client.ts';
import { TestAuthority } from '#tests/support/tls-material.ts';
import { connectTo, Listener, passedDescriptor, useTlsBench } from '#tests/support/tls-sockets.ts';
import { wholeNowMs } from '#tests/support/whole-milliseconds.ts';

/** Some times what the client's kernel holds, and less than what the one of the tunnel does. */
const ANSWER_BYTES = 1 << 20;
const MAX_STREAM_ID = 0x7fffffff;
const CREDIT_BYTES = 1 << 16;
/** Longer than a tunnel waits for a peer that has everything. */
const PATIENCE_MS = 1_500;

describe('a tunnel that drains', () => {
  const bench = useTlsBench();
  const authority = new TestAuthority();
  let context: TlsContext;
  let app: Server;
  let host: TunnelHost;
  let listener: Listener;
  let tunnel: Tunnel;
  let client: RawHttp2Client;
  let tunnelEnds: TunnelEnd[];
  let closed: Tunnel[];
  let streamEnds: StreamEnd[];
  let owner: TunnelOwner;
  let relays: StreamRelay[];
  let requests: number[];

  before(async () => {
    context = new TlsContext(authority.issue());
    app = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined);
      socket.resume();
      socket.on('end', () => socket.end(Buffer.alloc(ANSWER_BYTES, 1)));
    });
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
  });
  after(() => {
    app.close();
    context.free();
  });

  beforeEach(() => {
    [tunnelEnds, streamEnds, requests, relays, closed] = [[], [], [], [], []];
    const { loop, buffers } = bench;
    host = {
      loop,
      buffers,
      staging: new SlabPool(STAGING_BYTES, 4),
      options: defaultTunnelOptions,
      ending: new Set(),
    };
    owner = {
      onTunnelPeer: () => undefined,
      onTunnelOpen: () => undefined,
      onTunnelRoom: () => undefined,
      onTunnelRequest: (server, stream) => {
        requests.push(stream.id);
        const fd = connectTo((app.address() as AddressInfo).port);
        const ends = { fd, phase: 'connecting' } as const;
        const relay = new StreamRelay(loop, server, stream, ends, {
          onResponse: () => undefined,
          onConnected: () => server.respond(stream, [[':status', '200']], false),
          onTunnelOutlived: (rest) => rest.start(),
          onRelayEnd: (end) => {
            streamEnds.push(end);
            loop.returnToNode();
          },
        });
        relays.push(relay);
        relay.start();
      },
      onTunnelEnd: (_tunnel, end) => tunnelEnds.push(end),
      onTunnelClosed: (server) => {
        closed.push(server);
        loop.returnToNode();
      },
    };
    listener = new Listener(loop, (fd) => {
      const ends = { fd, local: localAddress(fd)!, remote: peerAddress(fd)! };
      tunnel = Tunnel.accept(host, owner, context, ends);
    });
  });
  afterEach(() => {
    listener.close();
    client[Symbol.dispose]();
    tunnel.close({ failed: false, reason: 'test over', stage: 'open' });
  });

  /** A client whose stream 1 is answered. */
  async function open(): Promise<void> {
    client = await RawHttp2Client.open(authority.issue(), listener.port);
    client.connect(1);
    await client.until(() => client.of(Frame.headers, 1).length > 0);
  }

  it('gives a slow reader everything, although both ends of the stream have ended', async () => {
    await open();
    tunnel.drain();
    await client.ping();
    client.socket.pause();
    client.finish(1, 'go');
    // Both kernels take it all.
    while (streamEnds.length === 0) await sleep(1);
    expect(streamEnds).to.deep.equal([{ kind: 'complete' }]);
    while (tunnelEnds.length === 0) await sleep(1);
    expect(tunnelEnds).to.deep.equal([{ failed: false, reason: 'drained', stage: 'open' }]);
    expect([...host.ending]).to.deep.equal([tunnel]);

    await sleep(PATIENCE_MS);
    expect(closed).to.deep.equal([]);
    // It says what it has read as it goes.
    let said = 0;
    client.socket.on('data', () => {
      for (; client.dataBytes - said >= CREDIT_BYTES; said += CREDIT_BYTES) {
        client.frame(Frame.windowUpdate, 0, 0, Buffer.from([0, 1, 0, 0]));
      }
    });
    client.socket.resume();
    await client.until(() => client.end !== undefined);
    expect(client.dataBytes).to.equal(ANSWER_BYTES);
    expect(client.endStream).to.equal(true);
    expect(client.end).to.equal('end');
    while (closed.length === 0) await sleep(1);
    expect(host.ending.size).to.equal(0);
    expect(tunnelEnds.length).to.equal(1);
  });

  /** The last streams that its GOAWAY frames have named. */
  function lastStreams(): readonly number[] {
    return client.of(Frame.goaway).map(({ payload }) => payload.readUInt32BE(0));
  }

  /** Opens a stream, and waits until that has been heard. */
  async function openAnother(streamId: number): Promise<void> {
    client.connect(streamId);
    await client.ping();
  }

  describe('and whose peer does not care', () => {
    it('takes what was on its way, and nothing that comes after the answer to its ping', async () => {
      await open();
      client.pongs = false;
      tunnel.drain();
      await client.until(() => lastStreams().length === 1);
      await openAnother(3);
      expect(requests).to.deep.equal([1, 3]);
      client.answerPings();
      await client.until(() => lastStreams().length === 2);
      expect(lastStreams()).to.deep.equal([MAX_STREAM_ID, 3]);
      await openAnother(5);
      expect(requests).to.deep.equal([1, 3]);
      expect(client.of(Frame.headers, 5)).to.deep.equal([]);
      // What is open goes on to its end.
      client.finish(1, 'go');
      client.finish(3, 'go');
      await client.until(() => client.end !== undefined);
      expect(client.dataBytes).to.equal(2 * ANSWER_BYTES);
      expect(tunnelEnds).to.deep.equal([{ failed: false, reason: 'drained', stage: 'open' }]);
    });

    it('waits 20 s for the answer to its ping', async () => {
      await open();
      client.pongs = false;
      tunnel.drain();
      await client.until(() => lastStreams().length === 1);
      const nowMs = wholeNowMs();
      tunnel.onTimer(nowMs + 19_000);
      await openAnother(3);
      expect(requests).to.deep.equal([1, 3]);
      expect(lastStreams().length).to.equal(1);
      tunnel.onTimer(nowMs + 20_000);
      await openAnother(5);
      expect(lastStreams()).to.deep.equal([MAX_STREAM_ID, 3]);
      expect(requests).to.deep.equal([1, 3]);
    });

    for (const says of ['nothing', 'that it opens no more streams'] as const) {
      it(`lets nothing in when its certificate has ended, also when it has said ${says}`, async () => {
        await open();
        if (says !== 'nothing') {
          client.frame(Frame.goaway, 0, 0, Buffer.alloc(8));
          await openAnother(3);
          expect(requests).to.deep.equal([1, 3]);
        }
        tunnel.peer = { ...tunnel.peer!, notAfterMs: Date.now() - 1 };
        tunnel.onTimer(performance.now());
        await client.until(() => lastStreams().length === 2);
        const heard = [...requests];
        await openAnother(5);
        expect(requests).to.deep.equal(heard);
      });
    }

    it('looks at its certificate when that ends', async () => {
      await open();
      const dueMs: number[] = [];
      const schedule = bench.loop.timers.schedule.bind(bench.loop.timers);
      bench.loop.timers.schedule = (timer, atMs) => {
        if (timer === tunnel) dueMs.push(atMs);
        schedule(timer, atMs);
      };
      tunnel.peer = { ...tunnel.peer!, notAfterMs: Date.now() + 5_000 };
      const nowMs = bench.loop.nowMs;
      tunnel.onTimer(nowMs);
      bench.loop.timers.schedule = schedule;
      expect(dueMs.length).to.equal(1);
      expect(dueMs[0]! - nowMs).to.be.at.most(5_001 + (bench.loop.nowMs - nowMs));
    });

    it('refuses it also in another process, which asks again', async () => {
      await open();
      client.pongs = false;
      tunnel.drain();
      await client.until(() => lastStreams().length === 1);
      for (const relay of relays) relay.freeze();
      tunnel.freeze();
      const state = structuredClone(tunnel.export());
      const fd = passedDescriptor(tunnel.fd);
      for (const relay of relays) relay.release();
      tunnel.release();
      tunnel = Tunnel.restore(host, owner, state, fd);
      client.pongs = true;
      tunnel.thaw();
      await client.until(() => lastStreams().length === 2);
      expect(lastStreams()).to.deep.equal([MAX_STREAM_ID, 1]);
      await client.until(() => client.end !== undefined);
    });
  });
});
