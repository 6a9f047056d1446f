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
import { connectTo, Listener, useTlsBench } from '#tests/support/tls-sockets.ts';

/** Some times what the client's kernel holds, and less than what the one of the tunnel does. */
const ANSWER_BYTES = 1 << 20;
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
    [tunnelEnds, streamEnds, requests, closed] = [[], [], [], []];
    const { loop, buffers } = bench;
    host = {
      loop,
      buffers,
      staging: new SlabPool(STAGING_BYTES, 4),
      options: defaultTunnelOptions,
      ending: new Set(),
    };
    const owner: TunnelOwner = {
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
});
