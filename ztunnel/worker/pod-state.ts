import type { LocalPod } from '#dataplane/state/view.ts';
import type { TunnelTarget } from '#hbone/pool.ts';
import { Tunnel, type TunnelOwner, type TunnelState } from '#hbone/tunnel.ts';
import { own } from '#reactor/owned-descriptors.ts';
import { resetSocket } from '#reactor/socket.ts';

import { Accounting, type AccountingState } from '../proxy/accounting.ts';
import { internalError, type LiveConnection, type ThreadContext } from '../proxy/context.ts';
import { InboundConnection, type InboundState } from '../proxy/inbound.ts';
import {
  PlaintextConnection,
  type PlaintextState,
  restorePlaintext,
  WaitingPlaintext,
} from '../proxy/inbound-passthrough.ts';
import { OutboundConnection, type OutboundState } from '../proxy/outbound.ts';
import type { ListenerFds } from './pod-listeners.ts';
import { PodProxy } from './pod-proxy.ts';

export interface Moved<State> {
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
  /** Outbound connections that use no tunnel, or wait for one, or have outlived it. */
  readonly outbound: readonly Moved<OutboundState>[];
  /** Inbound connections that have outlived their tunnel. */
  readonly inbound: readonly Moved<InboundState>[];
  readonly plaintext: readonly Moved<PlaintextState>[];
}

/** A pod that stands still: exactly what was stopped, so that exactly that moves or goes on. */
export interface FrozenPod {
  readonly proxy: PodProxy;
  readonly tunnels: readonly Tunnel[];
  /** Each uses one of `tunnels`, or none. */
  readonly connections: readonly Movable[];
  /** Tunnels that are not open yet. They can't move: their keys are still OpenSSL's. */
  readonly handshakes: readonly Tunnel[];
}

/** Stops all I/O of the pod, and every timer and callback that could touch what is about to move. */
export function freezePod(proxy: PodProxy): FrozenPod {
  proxy.pause();
  const handshakes = proxy.handshakes();
  for (const tunnel of handshakes) tunnel.freeze();
  for (const waiting of proxy.waiting) waiting.freeze();
  const tunnels = movableTunnels(proxy);
  const moved = new Set(tunnels);
  const connections: Movable[] = [];
  for (const connection of proxy.context.live) {
    if (!isMovable(connection)) continue;
    const tunnel = tunnelOf(connection);
    // What goes through a tunnel that is ending ends with it, here.
    if (tunnel === undefined || moved.has(tunnel)) connections.push(connection);
  }
  for (const connection of connections) connection.freeze();
  for (const tunnel of tunnels) tunnel.freeze();
  return { proxy, tunnels, connections, handshakes };
}

/** Goes on as if nothing had happened. What can't go on is cut; all others do. */
export function thawPod({ proxy, tunnels, connections, handshakes }: FrozenPod): void {
  for (const tunnel of [...tunnels, ...handshakes]) {
    try {
      tunnel.thaw();
    } catch (error) {
      tunnel.onFault(error);
    }
  }
  for (const connection of connections) {
    try {
      connection.thaw();
    } catch (error) {
      connection.cut(internalError(error));
    }
  }
  for (const waiting of proxy.waiting) waiting.begin();
  proxy.resume();
}

/** The frozen pod as data. */
export function exportPod({ proxy, tunnels, connections }: FrozenPod): PodState {
  const targets = new Map([...proxy.context.pool.open()].map((each) => [each.tunnel, each.target]));
  const inboundOf = new Map<Tunnel, Moved<InboundState>[]>();
  const outboundOf = new Map<Tunnel, Moved<OutboundState>[]>();
  const outbound: Moved<OutboundState>[] = [];
  const inbound: Moved<InboundState>[] = [];
  const plaintext: Moved<PlaintextState>[] = [];
  for (const connection of connections) {
    if (connection instanceof InboundConnection) {
      const moved = { fd: connection.fd, state: connection.export() };
      if (connection.tunnel === undefined) inbound.push(moved);
      else push(inboundOf, connection.tunnel, moved);
    } else if (isPlaintext(connection)) {
      plaintext.push({ fd: connection.fd, state: connection.export() });
    } else {
      const moved = { fd: connection.fd, state: connection.export() };
      if (connection.tunnel === undefined) outbound.push(moved);
      else push(outboundOf, connection.tunnel, moved);
    }
  }
  return {
    uid: proxy.uid,
    pod: proxy.context.pod,
    netnsFd: proxy.context.netnsFd,
    listeners: proxy.listenerFds(),
    tunnels: tunnels.map((tunnel) => ({
      fd: tunnel.fd,
      state: tunnel.export(),
      target: targets.get(tunnel),
      inbound: inboundOf.get(tunnel) ?? [],
      outbound: outboundOf.get(tunnel) ?? [],
    })),
    outbound,
    inbound,
    plaintext,
  };
}

/** Forgets a frozen pod that another process has, and closes our copies of its descriptors. */
export function releasePod({ proxy, tunnels, connections }: FrozenPod): void {
  for (const connection of connections) connection.release();
  proxy.context.pool.disown(tunnels);
  for (const tunnel of tunnels) {
    proxy.inbound.tunnels.delete(tunnel);
    tunnel.release();
  }
  // What is left could not be moved, and ends here.
  proxy.close('connection closed: it could not be moved to the successor process');
}

/** Builds a pod from another process's state. Nothing is served until {@link thawPod}. */
export function restorePod(thread: ThreadContext, state: PodState): FrozenPod {
  for (const fd of descriptorsOf(state)) if (fd !== state.netnsFd) own(fd);
  const proxy = new PodProxy(thread, state.uid, state.pod, state.netnsFd);
  proxy.adoptListeners(state.listeners);
  const { context } = proxy;
  const tunnels: Tunnel[] = [];
  const connections: Movable[] = [];
  // One connection that can't go on is cut; all others do.
  const restore = (
    fds: readonly number[],
    accounting: AccountingState | undefined,
    make: () => Movable,
  ): void => {
    try {
      connections.push(make());
    } catch (error) {
      cutMoved(thread, fds, accounting, error);
    }
  };
  for (const moved of state.tunnels) {
    const tunnel = restoreTunnel(proxy, moved);
    tunnels.push(tunnel);
    for (const { fd, state: inbound } of moved.inbound) {
      restore([fd], inbound.accounting, () =>
        InboundConnection.restore(context, tunnel, inbound, fd),
      );
    }
    for (const { fd, state: outbound } of moved.outbound) {
      const transport = { kind: 'stream', tunnel } as const;
      restore([fd], outbound.accounting, () =>
        OutboundConnection.restore(context, outbound, fd, transport),
      );
    }
  }
  for (const { fd, state: outbound } of state.outbound) {
    const { transport } = outbound;
    const upstream =
      transport.kind === 'socket'
        ? ({ kind: 'socket', upstreamFd: transport.upstreamFd } as const)
        : ({ kind: 'none' } as const);
    const fds = transport.kind === 'socket' ? [fd, transport.upstreamFd] : [fd];
    restore(fds, outbound.accounting, () =>
      OutboundConnection.restore(context, outbound, fd, upstream),
    );
  }
  for (const { fd, state: inbound } of state.inbound) {
    restore([fd], inbound.accounting, () =>
      InboundConnection.restore(context, undefined, inbound, fd),
    );
  }
  for (const { fd, state: plaintext } of state.plaintext) {
    const accounting = plaintext.kind === 'relayed' ? plaintext.accounting : undefined;
    restore(plaintextFds(fd, plaintext), accounting, () =>
      restorePlaintext(context, plaintext, fd),
    );
  }
  return { proxy, tunnels, connections, handshakes: [] };
}

export function countConnections(state: PodState): number {
  let count = state.outbound.length + state.inbound.length + state.plaintext.length;
  for (const tunnel of state.tunnels) count += tunnel.inbound.length + tunnel.outbound.length;
  return count;
}

/** Every descriptor of a pod's state, each once, the namespace first. */
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
  for (const { fd } of state.inbound) fds.push(fd);
  for (const { fd, state: plaintext } of state.plaintext) {
    fds.push(...plaintextFds(fd, plaintext));
  }
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
    inbound: state.inbound.map(moved),
    plaintext: state.plaintext.map((each) => {
      const { fd, state: plaintext } = moved(each);
      if (plaintext.kind === 'waiting') return { fd, state: plaintext };
      return { fd, state: { ...plaintext, upstreamFd: rename(plaintext.upstreamFd) } };
    }),
  };
}

type Plaintext = PlaintextConnection | WaitingPlaintext;
type Movable = InboundConnection | OutboundConnection | Plaintext;

function isMovable(connection: LiveConnection): connection is LiveConnection & Movable {
  return (
    connection instanceof InboundConnection ||
    connection instanceof OutboundConnection ||
    isPlaintext(connection)
  );
}

function isPlaintext(connection: LiveConnection): connection is Plaintext {
  return connection instanceof PlaintextConnection || connection instanceof WaitingPlaintext;
}

function plaintextFds(fd: number, state: PlaintextState): readonly number[] {
  return state.kind === 'relayed' ? [fd, state.upstreamFd] : [fd];
}

function tunnelOf(connection: Movable): Tunnel | undefined {
  return isPlaintext(connection) ? undefined : connection.tunnel;
}

function movableTunnels(proxy: PodProxy): Tunnel[] {
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

/** Resets a connection that can't be restored; it is logged and counted as one that failed here. */
function cutMoved(
  thread: ThreadContext,
  fds: readonly number[],
  accounting: AccountingState | undefined,
  cause: unknown,
): void {
  for (const fd of fds) {
    resetSocket(fd);
  }
  const why = cause instanceof Error ? cause.message : String(cause);
  const error = `connection closed: it could not be continued by the successor process: ${why}`;
  if (accounting === undefined) thread.report(error);
  else Accounting.restore(thread, accounting).finish({ flag: '-', error });
}

function push<Key, Value>(map: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
