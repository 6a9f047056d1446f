import type { Header } from '#codec/http2/field.ts';
import { formatSocketAddress, type SocketAddress } from '#common/net/address.ts';
import type { Workload } from '#dataplane/state/workload.ts';
import { identityOf } from '#dataplane/state/workload.ts';
import type { AccessRecord } from '#dataplane/telemetry/access-log.ts';
import type { ResponseFlag } from '#dataplane/telemetry/connection-labels.ts';
import {
  BAGGAGE_HEADER,
  FORWARDED_HEADER,
  newTraceparent,
  TRACEPARENT_HEADER,
  writeForwarded,
} from '#hbone/headers.ts';
import { Leftover, type LeftoverState } from '#hbone/leftover.ts';
import type { TunnelTarget, TunnelWaiter } from '#hbone/pool.ts';
import { type StreamObserver, StreamRelay, type StreamRelayState } from '#hbone/stream.ts';
import type { StreamEnd } from '#hbone/stream-end.ts';
import type { Tunnel, TunnelEnd } from '#hbone/tunnel.ts';
import type { ByteBudget } from '#reactor/byte-budget.ts';
import {
  type RelayEnd,
  type RelayObserver,
  SocketRelay,
  type SocketRelayState,
} from '#reactor/relay.ts';
import { closeSocket, setLinger0 } from '#reactor/socket.ts';
import type { Timer } from '#reactor/timers.ts';

import { Accounting, type AccountingState, refuseEarly } from './accounting.ts';
import {
  type ConnectionDescription,
  connectFromPod,
  type DemandWaiter,
  internalError,
  type LiveConnection,
  type PodContext,
} from './context.ts';
import { baggageOf } from './inbound.ts';
import { localWorkload, unknownLocalWorkload, waitForLocalWorkload } from './local-workload.ts';
import { RecordingView } from './recording-view.ts';
import { type Route, route } from './route.ts';

/** How often, and for how long, a request that its peers refuse to look at is made again. */
const REFUSED_RETRIES_MAX = 2;
const REFUSED_RETRY_DEADLINE_MS = 10_000;
/** How long a connection waits to hear who has the address that it goes to. */
const ANSWER_DEADLINE_MS = 5_000;

/** What is known when a connection is accepted. */
export interface Accepted {
  readonly source: SocketAddress;
  /** Where the application wanted to go. */
  readonly target: SocketAddress;
  /** Milliseconds since 1970. */
  readonly startMs: number;
}

/** An outbound connection for another process. */
export interface OutboundState {
  readonly accepted: Accepted;
  /** Absent while it waits for a tunnel: the other process chooses its way anew. */
  readonly accounting: AccountingState | undefined;
  readonly transport:
    | { readonly kind: 'waiting' }
    | { readonly kind: 'stream'; readonly relay: StreamRelayState }
    /** Its tunnel has ended. */
    | { readonly kind: 'leftover'; readonly relay: LeftoverState }
    | { readonly kind: 'socket'; readonly upstreamFd: number; readonly relay: SocketRelayState };
}

/**
 * ```
 * accepted ─route─▶ direct ──────────────────────────▶ SocketRelay ─▶ ended
 *     │  └────────▶ certificate ─▶ tunnel ─▶ stream ──▶ StreamRelay ─▶ ended
 *     └─ (waits for the configuration of its own pod)
 * ```
 * One connection that a pod of this node has opened, from its capture on 15001 to its end.
 */
export class OutboundConnection
  implements LiveConnection, TunnelWaiter, StreamObserver, RelayObserver, DemandWaiter, Timer
{
  readonly #context: PodContext;
  readonly #fd: number;
  readonly #accepted: Accepted;
  #route: (Route & { readonly kind: 'hbone' }) | undefined;
  #target: TunnelTarget | undefined;
  #local: Workload | undefined;
  #accounting: Accounting | undefined;
  #stream: StreamRelay | Leftover | undefined;
  #sockets: SocketRelay | undefined;
  /** Before a hand-over, after which it chose its way anew. */
  #countedAsOpened = false;
  /** What it has asked the control plane for, and waits to hear. */
  #asked: ReadonlySet<string> | undefined;
  #refusals = 0;
  #firstRequestMs: number | undefined;
  /** The far side's policies do not allow it. */
  #denied = false;
  #ended = false;

  /** Takes over `fd`. */
  constructor(context: PodContext, fd: number, accepted: Accepted) {
    this.#context = context;
    this.#fd = fd;
    this.#accepted = accepted;
    context.live.add(this);
    context.thread.metrics.socketsOpen.source++;
  }

  /** Chooses the way and goes it. */
  begin(): void {
    const local = localWorkload(this.#context);
    if (local === undefined) {
      this.#waitForConfiguration();
      return;
    }
    const way = this.#chooseWay(local);
    if (way === undefined) return;
    this.#context.waitingOutbound.delete(this);
    switch (way.kind) {
      case 'refused':
        this.#refuse(way.reason);
        return;
      case 'direct':
        this.#goDirect(way, local);
        return;
      case 'hbone':
        this.#goThroughTunnel(way, local);
    }
  }

  countBytes(): void {
    if (this.#stream !== undefined) {
      this.#accounting?.count(this.#stream.toTunnel, this.#stream.fromTunnel);
    } else if (this.#sockets !== undefined) {
      const { downstream, upstream } = this.#sockets;
      this.#accounting?.count(downstream.received, upstream.received);
    }
  }

  cut(reason: string): void {
    if (this.#ended) return;
    if (this.#stream !== undefined) this.#stream.abort();
    else if (this.#sockets !== undefined) this.#sockets.abort();
    else this.#closeAccepted();
    this.countBytes();
    this.#finish({ flag: '-', error: reason });
  }

  describe(): ConnectionDescription {
    const { source, target } = this.#accepted;
    return {
      direction: 'outbound',
      source: formatSocketAddress(source),
      originalDestination: formatSocketAddress(target),
      actualDestination: this.#accounting?.record.destination.address ?? '',
      protocol: this.#sockets === undefined ? 'HBONE' : 'TCP',
    };
  }

  // --- The way through a tunnel

  #goThroughTunnel(way: Route & { readonly kind: 'hbone' }, local: Workload): void {
    const sourceIdentity = identityOf(local);
    this.#route = way;
    this.#local = local;
    this.#target = {
      sourceIdentity,
      expectedIdentities: way.expectedIdentities,
      address: way.connectTo,
      sourceIp: this.#accepted.source.ip,
    };
    const destinationIdentity = identityOf(way.workload);
    const record = this.#record(local, way);
    record.source.identity = sourceIdentity;
    record.destination.identity = destinationIdentity;
    record.destination.hboneAddress = way.authority;
    this.#accounting = Accounting.open(this.#context.thread, record, {
      reporter: 'source',
      source: local,
      destination: way.workload,
      service: way.service,
      identities: { source: sourceIdentity, destination: destinationIdentity },
      countedAsOpened: this.#countedAsOpened,
    });
    this.#context.thread.identities.whenReady(sourceIdentity, this);
  }

  onIdentityReady(): void {
    if (this.#ended || this.#target === undefined) return;
    this.#context.pool.acquire(this.#target, this);
  }

  onIdentityFailed(reason: string): void {
    if (this.#ended) return;
    this.#closeAccepted();
    this.#finish({ flag: 'IDENTITY_ERROR', error: reason });
  }

  onTunnelReady(tunnel: Tunnel): void {
    if (this.#ended || this.#route === undefined || this.#local === undefined) return;
    const headers: Header[] = [
      [':method', 'CONNECT'],
      [':authority', this.#route.authority],
      [BAGGAGE_HEADER, baggageOf(this.#local)],
      [FORWARDED_HEADER, writeForwarded(this.#accepted.source, this.#route.service?.hostname)],
      [TRACEPARENT_HEADER, newTraceparent()],
    ];
    const { loop } = this.#context.thread;
    const stream = tunnel.openStream(headers);
    if (stream === undefined) {
      // It was given to us because it had room; its state changed in between. Wait for another.
      if (this.#target !== undefined) this.#context.pool.acquire(this.#target, this);
      return;
    }
    this.#firstRequestMs ??= loop.nowMs;
    const ends = { fd: this.#fd, phase: 'requested' } as const;
    this.#stream = new StreamRelay(loop, tunnel, stream, ends, this);
    this.#stream.start();
  }

  onTunnelFailed(end: TunnelEnd): void {
    if (this.#ended) return;
    this.#closeAccepted();
    this.#finish(tunnelFailure(end, this.#route?.connectTo));
  }

  // --- StreamObserver

  get waitingBytes(): ByteBudget {
    return this.#context.admission.waiting;
  }

  onResponse(headers: readonly Header[]): string | undefined {
    const status = headers.find(([name]) => name === ':status')?.[1] ?? '';
    if (status === '200') return undefined;
    this.#denied = status === '401';
    return `http status: ${statusText(status)}`;
  }

  onConnected(): void {
    // Only a server's stream has a socket of its own to connect.
  }

  /** Goes to another tunnel, or waits for a place. */
  onRequestRefused(): boolean {
    const { loop } = this.#context.thread;
    const elapsedMs = loop.nowMs - (this.#firstRequestMs ?? loop.nowMs);
    const again =
      this.#refusals < REFUSED_RETRIES_MAX && elapsedMs < REFUSED_RETRY_DEADLINE_MS && !this.#ended;
    if (!again || this.#target === undefined) return false;
    this.#refusals++;
    this.#stream = undefined;
    this.#context.pool.acquire(this.#target, this);
    return true;
  }

  onTunnelOutlived(rest: Leftover): void {
    this.#stream = rest;
    rest.start();
  }

  // --- The direct way

  #goDirect(way: Route & { readonly kind: 'direct' }, local: Workload): void {
    const { thread } = this.#context;
    const record = this.#record(local, way);
    this.#accounting = Accounting.open(thread, record, {
      reporter: 'source',
      source: local,
      destination: way.workload,
      service: way.service,
      countedAsOpened: this.#countedAsOpened,
    });
    const dialed = connectFromPod(this.#context, way.connectTo);
    if (!('fd' in dialed)) {
      this.#closeAccepted();
      this.#finish({ flag: 'CONNECT', error: `connection failed: ${dialed.reason}` });
      return;
    }
    const ends = { downstreamFd: this.#fd, upstreamFd: dialed.fd };
    this.#sockets = new SocketRelay(thread.loop, thread.scratch, ends, this);
    this.#sockets.start();
  }

  /** Of either transport: its own sockets and stream are closed already. */
  onRelayEnd(end: RelayEnd | StreamEnd): void {
    this.countBytes();
    if (end.kind === 'complete') {
      this.#finish(undefined, end.closedBy);
      return;
    }
    if ('stage' in end) {
      const { tunnelEnd } = end;
      if (end.stage === 'tunnel' && tunnelEnd !== undefined) {
        this.#finish(tunnelFailure(tunnelEnd, this.#route?.connectTo));
      } else if (end.stage === 'response') {
        this.#finish({ flag: this.#denied ? 'DENY' : 'CONNECT', error: end.reason });
      } else {
        this.#finish({ flag: 'CONNECT', error: `connection failed: ${end.reason}` });
      }
      return;
    }
    this.#finish({ flag: 'CONNECT', error: `connection failed: ${end.reason}` });
  }

  // --- Waits to hear what is at an address

  /** Undefined: what the choice depends on has to be asked for first. */
  #chooseWay(local: Workload): Route | undefined {
    const { mesh, settings, demands } = this.#context.thread;
    const { target } = this.#accepted;
    if (demands === undefined) return route(mesh, local, target, Math.random, settings);
    const view = new RecordingView(mesh);
    const way = route(view, local, target, Math.random, settings);
    if (demands.areAnswered(view.misses)) return way;
    this.#waitForAnswer(view.misses);
    return undefined;
  }

  #waitForAnswer(names: ReadonlySet<string>): void {
    const { admission, waitingOutbound, thread } = this.#context;
    const { nowMs, timers } = thread.loop;
    const waits =
      waitingOutbound.has(this) ||
      admission.admitsWaiting('connection', waitingOutbound.size, undefined, nowMs);
    const leftMs = this.#accepted.startMs + ANSWER_DEADLINE_MS - Date.now();
    if (!waits) {
      this.#closeAccepted();
      this.#finish();
    } else if (leftMs <= 0) {
      this.#refuse(`the control plane has not told who has ${[...names].join(', ')}`);
    } else {
      waitingOutbound.add(this);
      this.#asked = names;
      timers.schedule(this, nowMs + leftMs);
      thread.demands?.want(names, this);
    }
  }

  onAnswered(): void {
    this.#forgetAsked();
    if (!this.#ended) this.begin();
  }

  #forgetAsked(): void {
    const { demands, loop } = this.#context.thread;
    if (this.#asked === undefined) return;
    demands?.cancel(this.#asked, this);
    loop.timers.cancel(this);
    this.#asked = undefined;
  }

  // --- Timer: waits for the pod's configuration, or has waited long enough for an answer

  #waitForConfiguration(): void {
    const { admission, waitingOutbound, thread } = this.#context;
    const { nowMs } = thread.loop;
    const waits =
      waitingOutbound.has(this) ||
      admission.admitsWaiting('connection', waitingOutbound.size, undefined, nowMs);
    if (!waits) {
      this.#closeAccepted();
      this.#finish();
    } else if (waitForLocalWorkload(this.#context, this, this.#accepted.startMs)) {
      waitingOutbound.add(this);
    } else {
      this.#refuse(unknownLocalWorkload(this.#context.pod));
    }
  }

  onTimer(): void {
    this.#forgetAsked();
    if (!this.#ended) this.begin();
  }

  onFault(error: unknown): void {
    this.cut(internalError(error));
  }

  // --- Hand-over

  freeze(): void {
    this.countBytes();
    this.#context.thread.loop.timers.cancel(this);
    if (this.#stream !== undefined) this.#stream.freeze();
    else if (this.#sockets !== undefined) this.#sockets.freeze();
    else this.#stopWaiting();
  }

  thaw(): void {
    if (this.#ended) return;
    if (this.#stream !== undefined) this.#stream.start();
    else if (this.#sockets !== undefined) this.#sockets.start();
    else this.begin();
  }

  /** The tunnel that it uses; undefined while it has none, or none any more. */
  get tunnel(): Tunnel | undefined {
    return this.#stream instanceof StreamRelay ? this.#stream.tunnel : undefined;
  }

  /** The application's socket. */
  get fd(): number {
    return this.#fd;
  }

  export(): OutboundState {
    return {
      accepted: this.#accepted,
      accounting: this.#accounting?.export(),
      transport: this.#exportTransport(),
    };
  }

  /** Another process has it. */
  release(): void {
    this.#ended = true;
    this.#context.live.delete(this);
    this.#context.waitingOutbound.delete(this);
    this.#context.thread.loop.timers.cancel(this);
    if (this.#stream !== undefined) this.#stream.release();
    else if (this.#sockets !== undefined) this.#sockets.release();
    else closeSocket(this.#fd);
  }

  /** Continues a connection of another process, frozen until {@link thaw}. Throws when the tunnel lacks its stream. */
  static restore(
    context: PodContext,
    state: OutboundState,
    fd: number,
    transport:
      | { readonly kind: 'none' }
      | { readonly kind: 'stream'; readonly tunnel: Tunnel }
      | { readonly kind: 'socket'; readonly upstreamFd: number },
  ): OutboundConnection {
    // First, as it throws: a connection that was made is live and counted.
    const stream =
      state.transport.kind === 'stream' && transport.kind === 'stream'
        ? transport.tunnel.streamById(state.transport.relay.streamId)
        : undefined;
    const connection = new OutboundConnection(context, fd, state.accepted);
    const { thread } = context;
    if (state.transport.kind === 'waiting') {
      connection.#countedAsOpened = state.accounting !== undefined;
      return connection;
    }
    if (state.accounting !== undefined) {
      connection.#accounting = Accounting.restore(thread, state.accounting);
    }
    if (state.transport.kind === 'stream' && transport.kind === 'stream' && stream !== undefined) {
      const { relay } = state.transport;
      const { tunnel } = transport;
      connection.#stream = StreamRelay.restore(thread.loop, tunnel, stream, relay, fd, connection);
    } else if (state.transport.kind === 'leftover') {
      const { relay } = state.transport;
      connection.#stream = Leftover.restore(thread.loop, relay, fd, connection);
    } else if (state.transport.kind === 'socket' && transport.kind === 'socket') {
      const ends = { downstreamFd: fd, upstreamFd: transport.upstreamFd };
      const { relay } = state.transport;
      connection.#sockets = new SocketRelay(thread.loop, thread.scratch, ends, connection, relay);
    }
    return connection;
  }

  // ---

  #exportTransport(): OutboundState['transport'] {
    if (this.#stream instanceof Leftover) {
      return { kind: 'leftover', relay: this.#stream.export() };
    }
    if (this.#stream !== undefined) return { kind: 'stream', relay: this.#stream.export() };
    if (this.#sockets === undefined) return { kind: 'waiting' };
    const { upstream } = this.#sockets;
    return { kind: 'socket', upstreamFd: upstream.fd, relay: this.#sockets.export() };
  }

  #record(local: Workload, way: Route & { readonly kind: 'hbone' | 'direct' }): AccessRecord {
    const { workload, service, connectTo } = way;
    return {
      direction: 'outbound',
      source: {
        address: formatSocketAddress(this.#accepted.source),
        workload: local.name,
        namespace: local.namespace,
        cluster: local.clusterId,
      },
      destination: {
        address: formatSocketAddress(connectTo),
        service: service?.hostname,
        workload: workload?.name,
        namespace: workload?.namespace,
        cluster: workload?.clusterId,
      },
      startMs: this.#accepted.startMs,
      bytesSent: 0,
      bytesReceived: 0,
    };
  }

  #refuse(reason: string): void {
    this.#closeAccepted();
    const { source, target } = this.#accepted;
    refuseEarly(this.#context.thread, 'outbound', { source, destination: target }, reason);
    this.#finish();
  }

  /** Nobody calls it any more; {@link begin} chooses its way anew, here or in another process. */
  #stopWaiting(): void {
    this.#forgetAsked();
    this.#countedAsOpened ||= this.#accounting !== undefined;
    if (this.#target === undefined) return;
    this.#context.thread.identities.cancel(this.#target.sourceIdentity, this);
    this.#context.pool.cancel(this.#target, this);
  }

  #closeAccepted(): void {
    this.#stopWaiting();
    setLinger0(this.#fd);
    closeSocket(this.#fd);
  }

  #finish(
    failure?: { readonly flag: ResponseFlag; readonly error: string },
    closedBy?: string,
  ): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#context.live.delete(this);
    this.#context.waitingOutbound.delete(this);
    this.#context.thread.loop.timers.cancel(this);
    this.#context.thread.metrics.socketsOpen.source--;
    if (closedBy !== undefined && this.#accounting !== undefined) {
      this.#accounting.record.closedBy = closedBy;
    }
    this.#accounting?.finish(failure);
  }
}

function statusText(status: string): string {
  switch (status) {
    case '400':
      return '400 Bad Request';
    case '401':
      return '401 Unauthorized';
    case '503':
      return '503 Service Unavailable';
    default:
      return /^[0-9]{3}$/.test(status) ? status : 'none';
  }
}

/** The flag and the words for a tunnel that could not be had, or broke. */
function tunnelFailure(
  end: TunnelEnd,
  address: SocketAddress | undefined,
): { readonly flag: ResponseFlag; readonly error: string } {
  const peer = address === undefined ? 'the peer' : formatSocketAddress(address);
  if (end.cause === 'identity') return { flag: 'IDENTITY_ERROR', error: end.reason };
  switch (end.stage) {
    case 'connect':
      if (end.cause === 'timeout') {
        const error = `connection timed out, maybe a NetworkPolicy is blocking HBONE port 15008: cannot connect to ${peer}: ${end.reason}`;
        return { flag: 'NETWORK_POLICY', error };
      }
      return {
        flag: 'CONNECT',
        error: `connection failed: cannot connect to ${peer}: ${end.reason}`,
      };
    case 'tls':
      return { flag: 'TLS_FAILURE', error: end.reason };
    case 'http2':
      return { flag: 'H2_HANDSHAKE_FAILURE', error: `h2 failed: ${end.reason}` };
    case 'open':
      return {
        flag: 'CONNECT',
        error: `connection failed: the tunnel to ${peer} broke: ${end.reason}`,
      };
  }
}
