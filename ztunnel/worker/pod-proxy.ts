import type { SocketAddress } from '#common/net/address.ts';
import type { LocalPod } from '#dataplane/state/view.ts';
import { identityOf } from '#dataplane/state/workload.ts';
import { type DialTunnel, TunnelPool, type TunnelTarget } from '#hbone/pool.ts';
import { Tunnel, type TunnelOwner } from '#hbone/tunnel.ts';
import { originalDestination } from '#linux/original-destination.ts';
import { localAddress, peerAddress } from '#linux/socket.ts';
import { Listener } from '#reactor/listener.ts';
import { closeSocket, resetSocket } from '#reactor/socket.ts';
import type { Timer } from '#reactor/timers.ts';
import type { TlsContext } from '#reactor/tls/context.ts';
import { refuseEarly } from '../proxy/accounting.ts';
import { PodAdmission } from '../proxy/admission.ts';
import {
  connectFromPod,
  type LiveConnection,
  type PodContext,
  type ThreadContext,
} from '../proxy/context.ts';
import { InboundTunnels } from '../proxy/inbound.ts';
import { acceptPlaintext } from '../proxy/inbound-passthrough.ts';
import {
  localWorkload,
  unknownLocalWorkload,
  waitForLocalWorkload,
} from '../proxy/local-workload.ts';
import { OutboundConnection } from '../proxy/outbound.ts';
import {
  type ListenerFds,
  type ListenerName,
  type ListenSettings,
  listenerNames,
  openListeners,
} from './pod-listeners.ts';

/** Everything that serves one pod: listeners inside its namespace, its tunnels, its connections. */
export class PodProxy {
  readonly uid: string;
  readonly context: PodContext;
  readonly inbound: InboundTunnels;
  /** Accepted on 15008, waiting for the pod's certificate. */
  readonly waiting: Set<WaitingTunnel> = new Set();
  readonly #listeners: PodListener[] = [];

  constructor(thread: ThreadContext, uid: string, pod: LocalPod, netnsFd: number) {
    this.uid = uid;
    const pool = new TunnelPool((target, owner) => dial(this.context, target, owner));
    this.context = {
      thread,
      pod,
      netnsFd,
      pool,
      admission: new PodAdmission(thread.admission, pod, (problem) => thread.report(problem)),
      live: new Set<LiveConnection>(),
      waitingPlaintext: new Set<LiveConnection>(),
      waitingOutbound: new Set<LiveConnection>(),
    };
    this.inbound = new InboundTunnels(this.context);
  }

  /** Opens the three listeners inside the pod's namespace. The text of an error, with nothing left open. */
  listen(settings: ListenSettings): string | undefined {
    const fds = openListeners(this.context, settings);
    if (typeof fds === 'string') return fds;
    this.adoptListeners(fds);
    this.resume();
    return undefined;
  }

  /** Takes listeners that are open already, without accepting yet. */
  adoptListeners(fds: ListenerFds): void {
    const { thread, pod } = this.context;
    for (const name of listenerNames) {
      const accepted = (fd: number): void => this.accepted(name, fd);
      const pauses = (problem: string): void => {
        const line = `cannot accept connections of pod ${pod.namespace}/${pod.name}: ${problem}`;
        thread.repeated.write('accept', line, thread.loop.nowMs);
      };
      const listener = new Listener(thread.loop, fds[name], accepted, pauses);
      this.#listeners.push({ name, listener });
    }
  }

  /** Stops accepting; what arrives meanwhile waits in the kernel. */
  pause(): void {
    for (const { listener } of this.#listeners) listener.pause();
  }

  resume(): void {
    for (const { listener } of this.#listeners) listener.resume();
  }

  listenerFds(): ListenerFds {
    const fds: Partial<Record<ListenerName, number>> = {};
    for (const { name, listener } of this.#listeners) fds[name] = listener.fd;
    return fds as ListenerFds;
  }

  /** Closes the listeners; new connections to the pod are refused, or go to another process's listeners. */
  closeListeners(): void {
    for (const { listener } of this.#listeners.splice(0)) listener.close();
  }

  /** Tunnels and handshakes that are not open yet, in both directions. */
  get unfinished(): number {
    return this.inbound.handshaking + this.context.pool.dialing.length + this.waiting.size;
  }

  /** Tunnels in a handshake, in both directions. */
  handshakes(): readonly Tunnel[] {
    const inbound = [...this.inbound.tunnels].filter((tunnel) => tunnel.isOpening);
    return [...inbound, ...this.context.pool.dialing];
  }

  /** Open tunnels whose peers have not taken everything, in both directions. */
  get tunnelsSending(): number {
    let count = 0;
    for (const tunnel of this.inbound.tunnels) if (tunnel.isSending) count++;
    for (const { tunnel } of this.context.pool.open()) if (tunnel.isSending) count++;
    return count;
  }

  /** Takes nothing new and lets what is there finish. */
  drain(): void {
    this.closeListeners();
    this.context.pool.drain();
    for (const tunnel of this.inbound.tunnels) tunnel.drain();
  }

  /** Ends everything at once. */
  close(reason: string): void {
    this.closeListeners();
    for (const connection of this.context.live) connection.cut(reason);
    for (const waiting of this.waiting) waiting.close();
    this.context.pool.close(reason);
    for (const tunnel of this.inbound.tunnels) {
      tunnel.close({ failed: false, reason, stage: 'open' });
    }
  }

  /** A socket was accepted. */
  accepted(name: ListenerName, fd: number): void {
    const remote = peerAddress(fd);
    const local = localAddress(fd);
    // The peer may have gone already.
    if (remote === undefined || local === undefined) {
      closeSocket(fd);
      return;
    }
    if (name === 'inbound') {
      new WaitingTunnel(this, fd, { local, remote }).begin();
      return;
    }
    const { admission, live, thread } = this.context;
    const peer = name === 'plaintext' ? remote.ip : undefined;
    if (!admission.admitsConnection(live.size, peer, thread.loop.nowMs)) {
      resetSocket(fd);
      return;
    }
    const target = originalDestination(fd) ?? local;
    const accepted = { source: remote, target, startMs: Date.now() };
    if (name === 'plaintext') acceptPlaintext(this.context, fd, accepted);
    else this.#begin(new OutboundConnection(this.context, fd, accepted));
  }

  /** The certificate is there: the handshake can start. */
  startTunnel(fd: number, ends: Ends, tls: TlsContext): void {
    const { thread, admission } = this.context;
    const { tunnels, loop } = thread;
    if (!admission.admitsTunnel(ends.remote.ip, loop.nowMs)) {
      resetSocket(fd);
      return;
    }
    this.inbound.begun(Tunnel.accept(tunnels, this.inbound, tls, { fd, ...ends }));
  }

  #begin(connection: OutboundConnection): void {
    try {
      connection.begin();
    } catch (error) {
      // It has no descriptor in the loop yet: nobody else would close it.
      connection.onFault(error);
      throw error;
    }
  }
}

interface PodListener {
  readonly name: ListenerName;
  readonly listener: Listener;
}

interface Ends {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
}

/** An accepted tunnel connection that waits for the pod's configuration and certificate. */
class WaitingTunnel implements Timer {
  readonly #proxy: PodProxy;
  readonly #fd: number;
  readonly #ends: Ends;
  readonly #startMs = Date.now();
  /** Whose certificate it waits for. */
  #identity: string | undefined;
  #over = false;

  constructor(proxy: PodProxy, fd: number, ends: Ends) {
    this.#proxy = proxy;
    this.#fd = fd;
    this.#ends = ends;
  }

  begin(): void {
    const { context, waiting } = this.#proxy;
    const { identities, loop } = context.thread;
    const local = localWorkload(context);
    const ready = local === undefined ? undefined : identities.ready(identityOf(local));
    if (ready !== undefined) {
      this.onIdentityReady(ready);
      return;
    }
    const { ip } = this.#ends.remote;
    if (
      !waiting.has(this) &&
      !context.admission.admitsWaiting('tunnel', waiting.size, ip, loop.nowMs)
    ) {
      this.close();
      return;
    }
    waiting.add(this);
    if (local !== undefined) {
      this.#identity = identityOf(local);
      identities.whenReady(this.#identity, this);
    } else if (!waitForLocalWorkload(context, this, this.#startMs)) {
      this.onIdentityFailed(unknownLocalWorkload(context.pod));
    }
  }

  onTimer(): void {
    if (!this.#over) this.begin();
  }

  /** Nobody calls it any more; {@link begin} goes on. */
  freeze(): void {
    const { loop, identities } = this.#proxy.context.thread;
    loop.timers.cancel(this);
    if (this.#identity !== undefined) identities.cancel(this.#identity, this);
  }

  onIdentityReady(tls: TlsContext): void {
    if (this.#over) return;
    this.#over = true;
    this.#proxy.waiting.delete(this);
    this.#proxy.startTunnel(this.#fd, this.#ends, tls);
  }

  onIdentityFailed(reason: string): void {
    if (this.#over) return;
    const { local, remote } = this.#ends;
    const ends = { source: remote, destination: local };
    refuseEarly(this.#proxy.context.thread, 'inbound', ends, reason);
    this.close();
  }

  onFault(): void {
    this.close();
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#proxy.waiting.delete(this);
    this.freeze();
    resetSocket(this.#fd);
  }
}

function dial(
  context: PodContext,
  target: TunnelTarget,
  owner: TunnelOwner,
): ReturnType<DialTunnel> {
  const { thread } = context;
  const tls = thread.identities.ready(target.sourceIdentity);
  if (tls === undefined) {
    const reason = `identity error: no certificate for "${target.sourceIdentity}"`;
    return { end: { failed: true, reason, stage: 'connect', cause: 'identity' } };
  }
  const dialed = connectFromPod(context, target.address);
  if ('reason' in dialed) return { end: { failed: true, reason: dialed.reason, stage: 'connect' } };
  const local = localAddress(dialed.fd) ?? target.address;
  const ends = { fd: dialed.fd, local, remote: target.address };
  return { tunnel: Tunnel.dial(thread.tunnels, owner, tls, ends) };
}
