import type { LocalPod } from '#dataplane/state/view.ts';
import type { TunnelTarget } from '#hbone/pool.ts';
import { Tunnel, type TunnelOwner, type TunnelState } from '#hbone/tunnel.ts';

import type { ThreadContext } from '../proxy/context.ts';
import { InboundConnection, type InboundState } from '../proxy/inbound.ts';
import { PlaintextConnection, type PlaintextState } from '../proxy/inbound-passthrough.ts';
import { OutboundConnection, type OutboundState } from '../proxy/outbound.ts';
import { type ListenerFds, PodProxy } from './pod-proxy.ts';

interface Moved<State> {
  readonly fd: number;
  readonly state: State;
}

/** A tunnel with the connections that go through it. */
interface TunnelMoved {
  readonly fd: number;
  readonly state: TunnelState;
  /** Of a client's tunnel: whom the pool shares it with. */
  readonly target: TunnelTarget | undefined;
  readonly inbound: readonly Moved<InboundState>[];
  readonly outbound: readonly Moved<OutboundState>[];
}

/** Everything that serves one pod, as data. Every `…fd` is a descriptor that travels beside it. */
export interface PodState {
  readonly uid: string;
  readonly pod: LocalPod;
  readonly netnsFd: number;
  readonly listeners: ListenerFds;
  readonly tunnels: readonly TunnelMoved[];
  /** Outbound connections that use no tunnel, or wait for one. */
  readonly outbound: readonly Moved<OutboundState>[];
  readonly plaintext: readonly Moved<PlaintextState>[];
}

/** Stops all I/O of the pod. */
export function freezePod(proxy: PodProxy): void {
  proxy.pause();
  for (const connection of proxy.context.live) {
    if (isMovable(connection)) connection.freeze();
  }
  for (const tunnel of tunnelsOf(proxy)) tunnel.freeze();
}

export function thawPod(proxy: PodProxy): void {
  for (const tunnel of tunnelsOf(proxy)) tunnel.thaw();
  for (const connection of proxy.context.live) {
    if (isMovable(connection)) connection.thaw();
  }
  proxy.resume();
}

/** The frozen pod as data. */
export function exportPod(proxy: PodProxy): PodState {
  const targets = new Map([...proxy.context.pool.open()].map((each) => [each.tunnel, each.target]));
  const inboundOf = new Map<Tunnel, Moved<InboundState>[]>();
  const outboundOf = new Map<Tunnel, Moved<OutboundState>[]>();
  const outbound: Moved<OutboundState>[] = [];
  const plaintext: Moved<PlaintextState>[] = [];
  for (const connection of proxy.context.live) {
    if (connection instanceof InboundConnection) {
      push(inboundOf, connection.tunnel, { fd: connection.fd, state: connection.export() });
    } else if (connection instanceof PlaintextConnection) {
      plaintext.push({ fd: connection.fd, state: connection.export() });
    } else if (connection instanceof OutboundConnection) {
      const moved = { fd: connection.fd, state: connection.export() };
      if (connection.tunnel === undefined) outbound.push(moved);
      else push(outboundOf, connection.tunnel, moved);
    }
  }
  const tunnels = tunnelsOf(proxy).map((tunnel) => ({
    fd: tunnel.fd,
    state: tunnel.export(),
    target: targets.get(tunnel),
    inbound: inboundOf.get(tunnel) ?? [],
    outbound: outboundOf.get(tunnel) ?? [],
  }));
  return {
    uid: proxy.uid,
    pod: proxy.context.pod,
    netnsFd: proxy.context.netnsFd,
    listeners: proxy.listenerFds(),
    tunnels,
    outbound,
    plaintext,
  };
}

/** Forgets a frozen pod that another process has, and closes our copies of its descriptors. */
export function releasePod(proxy: PodProxy): void {
  for (const connection of proxy.context.live) {
    if (isMovable(connection)) connection.release();
  }
  const moved = tunnelsOf(proxy);
  proxy.context.pool.disown(moved);
  for (const tunnel of moved) {
    proxy.inbound.tunnels.delete(tunnel);
    tunnel.release();
  }
  // What is left could not be moved, and ends here.
  proxy.close('connection closed: it could not be moved to the successor process');
}

/** Builds a pod from another process's state. Nothing is served until {@link thawPod}. */
export function restorePod(thread: ThreadContext, state: PodState): PodProxy {
  const proxy = new PodProxy(thread, state.uid, state.pod, state.netnsFd);
  proxy.adoptListeners(state.listeners);
  const { context } = proxy;
  for (const moved of state.tunnels) {
    const tunnel = restoreTunnel(proxy, moved);
    for (const { fd, state: inbound } of moved.inbound) {
      InboundConnection.restore(context, tunnel, inbound, fd);
    }
    for (const { fd, state: outbound } of moved.outbound) {
      OutboundConnection.restore(context, outbound, fd, { kind: 'stream', tunnel });
    }
  }
  for (const { fd, state: outbound } of state.outbound) {
    const { transport } = outbound;
    const upstream =
      transport.kind === 'socket'
        ? ({ kind: 'socket', upstreamFd: transport.upstreamFd } as const)
        : ({ kind: 'waiting' } as const);
    OutboundConnection.restore(context, outbound, fd, upstream);
  }
  for (const { fd, state: plaintext } of state.plaintext) {
    const ends = { downstreamFd: fd, upstreamFd: plaintext.upstreamFd };
    PlaintextConnection.restore(context, plaintext, ends);
  }
  return proxy;
}

/** Every descriptor of a pod's state, each once, in a fixed order. */
export function descriptorsOf(state: PodState): readonly number[] {
  const fds = [state.netnsFd, ...Object.values(state.listeners)];
  for (const tunnel of state.tunnels) {
    fds.push(tunnel.fd);
    for (const { fd } of [...tunnel.inbound, ...tunnel.outbound]) fds.push(fd);
  }
  for (const { fd, state: outbound } of state.outbound) {
    fds.push(fd);
    if (outbound.transport.kind === 'socket') fds.push(outbound.transport.upstreamFd);
  }
  for (const { fd, state: plaintext } of state.plaintext) fds.push(fd, plaintext.upstreamFd);
  return fds;
}

/** The same state with each descriptor replaced by what `rename` says. */
export function renameDescriptors(state: PodState, rename: (fd: number) => number): PodState {
  const moved = <State>({ fd, state: inner }: Moved<State>): Moved<State> => ({
    fd: rename(fd),
    state: inner,
  });
  return {
    ...state,
    netnsFd: rename(state.netnsFd),
    listeners: {
      outbound: rename(state.listeners.outbound),
      plaintext: rename(state.listeners.plaintext),
      inbound: rename(state.listeners.inbound),
    },
    tunnels: state.tunnels.map((tunnel) => ({
      ...tunnel,
      fd: rename(tunnel.fd),
      inbound: tunnel.inbound.map(moved),
      outbound: tunnel.outbound.map(moved),
    })),
    outbound: state.outbound.map((each) => {
      const { fd, state: outbound } = moved(each);
      const { transport } = outbound;
      if (transport.kind !== 'socket') return { fd, state: outbound };
      const upstreamFd = rename(transport.upstreamFd);
      return { fd, state: { ...outbound, transport: { ...transport, upstreamFd } } };
    }),
    plaintext: state.plaintext.map((each) => {
      const { fd, state: plaintext } = moved(each);
      return { fd, state: { ...plaintext, upstreamFd: rename(plaintext.upstreamFd) } };
    }),
  };
}

type Movable = InboundConnection | OutboundConnection | PlaintextConnection;

function isMovable(connection: unknown): connection is Movable {
  return (
    connection instanceof InboundConnection ||
    connection instanceof OutboundConnection ||
    connection instanceof PlaintextConnection
  );
}

function tunnelsOf(proxy: PodProxy): Tunnel[] {
  const clients = [...proxy.context.pool.open()].map(({ tunnel }) => tunnel);
  return [...proxy.inbound.tunnels, ...clients].filter((tunnel) => tunnel.canMove);
}

function restoreTunnel(proxy: PodProxy, moved: TunnelMoved): Tunnel {
  const host = proxy.context.thread.tunnels;
  if (moved.target === undefined) {
    const tunnel = Tunnel.restore(host, proxy.inbound, moved.state, moved.fd);
    proxy.inbound.tunnels.add(tunnel);
    return tunnel;
  }
  const restore = (owner: TunnelOwner, state: TunnelState): Tunnel =>
    Tunnel.restore(host, owner, state, moved.fd);
  return proxy.context.pool.adopt(moved.target, restore, moved.state);
}

function push<Key, Value>(map: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
