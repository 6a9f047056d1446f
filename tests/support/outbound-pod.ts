import { createConnection, type Socket } from 'node:net';

import { RateLimitedLines } from '#common/log/rate-limit.ts';
import type { AccessRecord } from '#dataplane/telemetry/access-log.ts';
import { TrafficMetrics } from '#dataplane/telemetry/metrics.ts';
import { defaultTunnelOptions, type TunnelOptions } from '#hbone/options.ts';
import { TunnelPool } from '#hbone/pool.ts';
import { STAGING_BYTES, Tunnel } from '#hbone/tunnel.ts';
import { localAddress, peerAddress } from '#linux/socket.ts';
import type { Loop } from '#reactor/loop.ts';
import { allocateSlab, SlabPool } from '#reactor/memory.ts';
import { allocateTlsBuffers } from '#reactor/tls/buffers.ts';
import type { TlsContext } from '#reactor/tls/context.ts';
import { Connections } from '#ztunnel/proxy/connections.ts';
import type { PodContext } from '#ztunnel/proxy/context.ts';
import { OutboundConnection } from '#ztunnel/proxy/outbound.ts';

import { ip, storeOf, workload } from './mesh.ts';
import { connectTo, Listener } from './tls-sockets.ts';

const TARGET = '10.0.2.10';

/**
 * The outbound side of one pod, `till`, without a namespace: what connects to it wants to go to another pod,
 * and every tunnel is dialed to `peerPort` of 127.0.0.1. Both have the identity of service account `app`.
 */
export class OutboundPod implements Disposable {
  readonly context: PodContext;
  /** Access records of connections that have ended, in order. */
  readonly ended: AccessRecord[] = [];
  dials = 0;
  readonly #entry: Listener;

  constructor(
    loop: Loop,
    tls: TlsContext,
    peerPort: number,
    options: TunnelOptions = defaultTunnelOptions,
  ) {
    const host = {
      loop,
      buffers: allocateTlsBuffers(),
      staging: new SlabPool(STAGING_BYTES, 4),
      options,
    };
    const common = { serviceAccount: 'app', protocol: 'HBONE' } as const;
    const mesh = storeOf({
      workloads: [workload('till', '127.0.0.1', common), workload('shop', TARGET, common)],
    });
    const pool = new TunnelPool((target, owner) => {
      this.dials++;
      const fd = connectTo(peerPort);
      const local = localAddress(fd) ?? target.address;
      return Tunnel.dial(host, owner, tls, { fd, local, remote: target.address });
    });
    this.context = {
      thread: {
        loop,
        scratch: allocateSlab(65_536),
        mesh,
        tunnels: host,
        identities: {
          whenReady: (_identity, waiter) => waiter.onIdentityReady(tls),
          cancel: () => undefined,
          ready: () => tls,
        },
        connections: new Connections(mesh),
        settings: {
          network: '',
          packetMark: undefined,
          keepAlive: undefined,
          userTimeoutMs: undefined,
          originalSource: false,
          responseBaggage: true,
          localhostAppTunnel: true,
        },
        metrics: new TrafficMetrics(),
        access: {
          wants: (event) => event === 'complete',
          write: (record) => {
            this.ended.push(record);
            loop.returnToNode();
          },
        },
        report: () => undefined,
        repeated: new RateLimitedLines(() => undefined),
      },
      pod: { name: 'till', namespace: 'default', serviceAccount: 'app' },
      netnsFd: -1,
      pool,
      live: new Set(),
      waitingPlaintext: new Set(),
    };
    this.#entry = new Listener(loop, (fd) => {
      const target = { ip: ip(TARGET), port: 80 };
      const accepted = { source: peerAddress(fd)!, target, startMs: Date.now() };
      new OutboundConnection(this.context, fd, accepted).begin();
    });
  }

  /** An application of the pod connects. */
  connect(): Socket {
    const { port } = this.#entry;
    const socket = createConnection({ host: '127.0.0.1', port, allowHalfOpen: true });
    // Whoever reads is told all the same.
    return socket.on('error', () => undefined);
  }

  [Symbol.dispose](): void {
    this.#entry.close();
    for (const connection of this.context.live) connection.cut('test over');
    this.context.pool.close('test over');
  }
}
