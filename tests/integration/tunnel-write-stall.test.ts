import { expect } from 'chai';
import { after, afterEach, before, beforeEach, describe, it } from 'mocha';

import type { Http2Stream } from '#codec/http2/stream-state.ts';
import { parseIp } from '#common/net/address.ts';
import { defaultTunnelOptions } from '#hbone/options.ts';
import { STAGING_BYTES, Tunnel, type TunnelEnd } from '#hbone/tunnel.ts';
import { SlabPool } from '#reactor/memory.ts';
import { TlsContext } from '#reactor/tls/context.ts';
import { untilStill } from '#tests/support/still.ts';
import { TestAuthority } from '#tests/support/tls-material.ts';
import { connectTo, type Recorder, serveOne, useTlsBench } from '#tests/support/tls-sockets.ts';
import { wholeNowMs } from '#tests/support/whole-milliseconds.ts';

const TICK_MS = 10_000;
// As a peer that wants everything: SETTINGS with the largest stream window, as much for the connection.
const OPEN_WINDOWS = Buffer.from(
  '000006040000000000_00047fffffff_000004080000000000_7fff0000'.replaceAll('_', ''),
  'hex',
);
const PING = Buffer.from('000008060000000000_0000000000000001'.replaceAll('_', ''), 'hex');
const CHUNK = 65_536;

describe('a tunnel whose peer sends but', () => {
  const bench = useTlsBench();
  let context: TlsContext;
  let tunnel: Tunnel;
  let peer: Recorder;
  let stream: Http2Stream;
  let ends: TunnelEnd[];
  /** What its timer is told: as if time went by. */
  let nowMs: number;

  before(() => {
    context = new TlsContext(new TestAuthority().issue());
  });
  after(() => context.free());

  beforeEach(async () => {
    ends = [];
    const { port, server } = serveOne(bench, context);
    peer = server;
    const { loop, buffers } = bench;
    const host = {
      loop,
      buffers,
      staging: new SlabPool(STAGING_BYTES, 4),
      options: defaultTunnelOptions,
      ending: new Set<Tunnel>(),
    };
    const loopback = { ip: parseIp('127.0.0.1')!, port };
    const settings = Promise.withResolvers<void>();
    const owner = {
      onTunnelPeer: () => undefined,
      onTunnelOpen: () => undefined,
      onTunnelRequest: () => undefined,
      onTunnelRoom: () => {
        settings.resolve();
        loop.returnToNode();
      },
      onTunnelEnd: (_tunnel: Tunnel, end: TunnelEnd) => ends.push(end),
      onTunnelClosed: () => undefined,
    };
    const dialed = { fd: connectTo(port), local: loopback, remote: loopback };
    tunnel = Tunnel.dial(host, owner, context, dialed);
    await peer.untilOpen();
    peer.write(OPEN_WINDOWS);
    await settings.promise;
    stream = tunnel.openStream([
      [':method', 'CONNECT'],
      [':authority', '10.0.2.10:80'],
    ])!;
    stream.owner = {
      onStreamRoom: () => undefined,
      onTunnelGone: () => undefined,
    };
    nowMs = wholeNowMs();
  });

  afterEach(() => {
    tunnel.close({ failed: false, reason: 'test over', stage: 'open' });
    peer.socket.destroy();
  });

  /** Puts as much on the stream as the tunnel takes. */
  async function fill(): Promise<number> {
    let written = 0;
    for (;;) {
      const user = stream.owner as Parameters<Tunnel['roomFor']>[1];
      const room = tunnel.roomFor(stream, user, CHUNK);
      if (room === 0) break;
      tunnel.commit(stream, room, false);
      written += room;
      // The turn's end sends it.
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    await untilStill(tunnel.fd);
    return written;
  }

  /** The peer says something, then so much time goes by. */
  async function pass(ms: number): Promise<void> {
    const heard = Promise.withResolvers<void>();
    const hear = tunnel.onPlaintext.bind(tunnel);
    tunnel.onPlaintext = (slab, start, end) => {
      hear(slab, start, end);
      heard.resolve();
      bench.loop.returnToNode();
    };
    peer.write(PING);
    await heard.promise;
    nowMs += ms;
    tunnel.onTimer(nowMs);
  }

  it('reads nothing ends after a minute, and says why', async () => {
    peer.socket.pauseReading();
    expect(await fill()).to.be.greaterThan(0);
    for (let count = 0; count < 6; count++) await pass(TICK_MS);
    expect(ends).to.deep.equal([]);
    await pass(TICK_MS);
    const reason = '127.0.0.1 has taken nothing of what waits for it for 60 s';
    expect(ends).to.deep.equal([{ failed: true, reason, stage: 'open' }]);
  });

  it('reads slowly goes on', async () => {
    peer.socket.pauseReading();
    await fill();
    let least = 0;
    for (let count = 0; count < 30; count++) {
      // A megabyte in 50 s.
      if (count % 5 === 0) {
        least = peer.bytes + 1_048_576;
        peer.socket.resumeReading();
        await peer.until(() => peer.bytes >= least);
        peer.socket.pauseReading();
        await fill();
      }
      await pass(TICK_MS);
    }
    expect(ends).to.deep.equal([]);
  });

  it('reads nothing goes on when nothing waits for it', async () => {
    peer.socket.pauseReading();
    for (let count = 0; count < 30; count++) await pass(TICK_MS);
    expect(ends).to.deep.equal([]);
  });
});
