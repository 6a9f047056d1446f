import { createConnection, type Socket } from 'node:net';

import type { AccessRecord } from '#dataplane/telemetry/access-log.ts';
import { TunnelPool } from '#hbone/pool.ts';
import { Tunnel } from '#hbone/tunnel.ts';
import { localAddress, peerAddress } from '#linux/socket.ts';
import type { Loop } from '#reactor/loop.ts';
import type { TlsContext } from '#reactor/tls/context.ts';
import { PodAdmission } from '#ztunnel/proxy/admission.ts';
import type { PodContext } from '#ztunnel/proxy/context.ts';
import { OutboundConnection } from '#ztunnel/proxy/outbound.ts';

import { ip, storeOf, workload } from './mesh.ts';
import { threadContext } from './thread-context.ts';
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

  constructor(loop: Loop, tls: TlsContext, peerPort: number) {
    const common = { serviceAccount: 'app', protocol: 'HBONE' } as const;
    const mesh = storeOf({
      workloads: [workload('till', '127.0.0.1', common), workload('shop', TARGET, common)],
    });
    const thread = threadContext(loop, mesh);
    const pool = new TunnelPool((target, owner) => {
      this.dials++;
      const fd = connectTo(peerPort);
      const local = localAddress(fd) ?? target.address;
      const ends = { fd, local, remote: target.address };
      return { tunnel: Tunnel.dial(thread.tunnels, owner, tls, ends) };
    });
    const podName = { name: 'till', namespace: 'default', serviceAccount: 'app' };
    this.context = {
      thread: {
        ...thread,
        identities: {
          whenReady: (_identity, waiter) => waiter.onIdentityReady(tls),
          cancel: () => undefined,
          ready: () => tls,
        },
        access: {
          wants: (event) => event === 'complete',
          write: (record) => {
            this.ended.push(record);
            loop.returnToNode();
          },
        },
      },
      pod: podName,
      admission: new PodAdmission(thread.admission, podName, () => undefined),
      netnsFd: -1,
      pool,
      live: new Set(),
      waitingPlaintext: new Set(),
      waitingOutbound: new Set(),
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
