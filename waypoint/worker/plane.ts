import { ByteOutput } from '#codec/http1/byte-output.ts';
import { allocateHeadTables, type HeadTables } from '#codec/http1/message-reader.ts';
import type { MeshDelta } from '#dataplane/state/delta.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import type { LocalPod } from '#dataplane/state/view.ts';
import type { Workload } from '#dataplane/state/workload.ts';
import type { TunnelOptions } from '#hbone/options.ts';
import { type DialTunnel, TunnelPool, type TunnelTarget } from '#hbone/pool.ts';
import { STAGING_BYTES, Tunnel, type TunnelHost, type TunnelOwner } from '#hbone/tunnel.ts';
import { errnoText } from '#linux/libc.ts';
import { connectTcp, localAddress, peerAddress } from '#linux/socket.ts';
import { ByteBudget } from '#reactor/byte-budget.ts';
import type { Loop } from '#reactor/loop.ts';
import { allocateSlab, type Slab, SlabPool } from '#reactor/memory.ts';
import { own } from '#reactor/owned-descriptors.ts';
import { closeSocket, resetSocket } from '#reactor/socket.ts';
import type { Timer } from '#reactor/timers.ts';
import { allocateTlsBuffers } from '#reactor/tls/buffers.ts';
import { TlsContext, type TlsMaterial } from '#reactor/tls/context.ts';

import type { ConnectionFacts, Decision } from '../exchange/decision.ts';
import { isGrpc } from '../exchange/local-response.ts';
import { Places } from '../exchange/places.ts';
import type { ExchangeRecord } from '../exchange/record.ts';
import { SESSION_STAGING_BYTES } from '../http/http2-session.ts';
import { type InnerConnection, LOOK_MS } from '../listener/inner-connection.ts';
import { Tunnels, type TunnelsHost } from '../listener/tunnels.ts';
import type { RequestMessage } from '../request/head.ts';
import type { TcpRecord } from '../tcp/tcp-forward.ts';
import { Dialer } from '../upstream/dialer.ts';
import { EndpointChooser } from '../upstream/endpoint.ts';
import { type ServerProtocol, Servers } from '../upstream/servers.ts';
import type { PlaneLimits } from './limits.ts';

/** Half to receive, half to send. */
const SCRATCH_BYTES = 262_144;
/** The largest head with everything that may be added to it. */
const HEAD_SCRATCH_BYTES = 131_072;
/** Slabs kept for the next turn. */
const TUNNEL_STAGING_KEPT = 8;
const SESSION_STAGING_KEPT = 8;
/** Longer than the deadline of a handshake. */
const RETIRED_FOR_MS = 15_000;

export interface PlaneSettings {
  readonly network: string;
  /** The pod that this waypoint is. */
  readonly pod: LocalPod;
  /** Its identity: the name in its certificate. */
  readonly identity: string;
  readonly tunnels: TunnelOptions;
  readonly limits: PlaneLimits;
}

/** What decides about requests and connections, and who is told how they went. */
export interface PlaneEvents {
  decide(facts: ConnectionFacts, request: RequestMessage): Decision;
  /** A reason: the policies do not let the connection in. */
  judge(facts: ConnectionFacts): string | undefined;
  finished(record: ExchangeRecord): void;
  tcpOpened(record: TcpRecord): void;
  tcpClosed(record: TcpRecord): void;
  badRequest(facts: ConnectionFacts, fault: string): void;
  refused(peer: string, reason: string): void;
  /** A connection that was given to {@link Plane.accept} is closed. */
  tunnelClosed(): void;
}

/** The data path of one worker: tunnels come in, requests are answered. */
export class Plane implements TunnelsHost {
  readonly loop: Loop;
  readonly mesh: MeshStore = new MeshStore();
  readonly network: string;
  readonly inner: Set<InnerConnection> = new Set();
  draining = false;
  readonly limits: PlaneLimits;
  /** What waits for clients and endpoints, and of that what is kept of requests. */
  readonly waiting: ByteBudget;
  readonly kept: ByteBudget;
  readonly requests: Places;
  readonly chooser: EndpointChooser;
  readonly dialer: Dialer;
  readonly servers: Servers;
  readonly staging: SlabPool = new SlabPool(SESSION_STAGING_BYTES, SESSION_STAGING_KEPT);
  readonly requestTables: HeadTables = allocateHeadTables('request');
  readonly responseTables: HeadTables = allocateHeadTables('response');
  readonly output: ByteOutput = new ByteOutput();
  readonly scratch: Buffer = Buffer.allocUnsafeSlow(HEAD_SCRATCH_BYTES);
  readonly random: () => number = Math.random;
  readonly #settings: PlaneSettings;
  readonly #events: PlaneEvents;
  readonly #tunnelHost: TunnelHost;
  readonly #tunnels: Tunnels;
  readonly #pool: TunnelPool;
  #tls: TlsContext | undefined;
  #self: Workload | undefined;
  readonly #looking: Timer = {
    onTimer: (nowMs) => {
      this.loop.timers.schedule(this.#looking, nowMs + LOOK_MS);
      this.look(nowMs);
    },
  };

  constructor(loop: Loop, settings: PlaneSettings, events: PlaneEvents) {
    this.loop = loop;
    this.network = settings.network;
    this.limits = settings.limits;
    this.waiting = new ByteBudget(settings.limits.waitingBytes);
    this.kept = new ByteBudget(settings.limits.keptBytes, this.waiting);
    this.requests = new Places(settings.limits.requests);
    this.#settings = settings;
    this.#events = events;
    this.#tunnelHost = {
      loop,
      buffers: allocateTlsBuffers(),
      staging: new SlabPool(STAGING_BYTES, TUNNEL_STAGING_KEPT),
      options: settings.tunnels,
      ending: new Set(),
    };
    this.#pool = new TunnelPool((target, owner) => this.#dial(target, owner));
    const sockets: Slab = allocateSlab(SCRATCH_BYTES);
    this.dialer = new Dialer({
      loop,
      scratch: sockets,
      pool: this.#pool,
      identity: settings.identity,
      waiting: this.waiting,
    });
    this.chooser = new EndpointChooser(this.mesh, () => this.#self);
    this.servers = new Servers(this, this.dialer, settings.limits);
    this.#tunnels = new Tunnels(this);
    loop.timers.schedule(this.#looking, loop.nowMs + LOOK_MS);
  }

  // --- What the control thread says

  /** The certificate to use from now on; throws when it can't be used. Open tunnels keep theirs. */
  useCertificate(material: TlsMaterial): void {
    const context = new TlsContext(material);
    const retired = this.#tls;
    this.#tls = context;
    if (retired === undefined) return;
    const timer: Timer = { onTimer: () => retired.free() };
    this.loop.timers.schedule(timer, this.loop.nowMs + RETIRED_FOR_MS);
  }

  applyMesh(delta: MeshDelta): void {
    this.mesh.apply(delta);
    this.chooser.reset();
    this.#self = this.mesh.localWorkload(this.#settings.pod);
    for (const uid of delta.removeWorkloads) {
      if (this.mesh.workload(uid) === undefined) this.servers.forget(uid);
    }
    const context = { view: this.mesh, network: this.network, self: this.#self };
    for (const inner of this.inner) inner.meshChanged(context);
  }

  /** Policies have changed: what they do not let in any more is cut. */
  judgeAgain(): void {
    for (const inner of this.inner) inner.judgeAgain();
  }

  /** Looks at every connection, whether it still moves. Comes by itself every {@link LOOK_MS}. */
  look(nowMs: number): void {
    for (const inner of this.inner) inner.look(nowMs);
  }

  /** Takes over an accepted connection to port 15008, and tells when it is closed. */
  accept(fd: number): void {
    const remote = peerAddress(fd);
    const local = localAddress(fd);
    if (this.#tls === undefined || remote === undefined || local === undefined || this.draining) {
      closeSocket(fd);
      this.tunnelClosed();
      return;
    }
    const full = this.#tunnels.fullFor(remote.ip);
    if (full !== undefined) {
      resetSocket(fd);
      this.refused(remote.ip, full);
      this.tunnelClosed();
      return;
    }
    const tunnel = Tunnel.accept(this.#tunnelHost, this.#tunnels, this.#tls, { fd, local, remote });
    this.#tunnels.all.add(tunnel);
  }

  get tunnelCount(): number {
    return this.#tunnels.all.size;
  }

  /** Takes nothing new: tunnels and connections end when what is in progress has. */
  drain(): void {
    this.draining = true;
    for (const inner of this.inner) inner.drainAfterFirst();
    for (const tunnel of this.#tunnels.all) tunnel.drain();
    this.servers.drain();
    this.#pool.drain();
  }

  /** Cuts everything. */
  close(reason: string): void {
    this.draining = true;
    this.loop.timers.cancel(this.#looking);
    for (const inner of this.inner) inner.close(reason);
    for (const tunnel of this.#tunnels.all) {
      tunnel.close({ failed: false, reason, stage: 'open' });
    }
    this.servers.drain();
    this.#pool.close(reason);
  }

  // --- TunnelsHost

  self(): Workload | undefined {
    return this.#self;
  }

  refused(peer: string, reason: string): void {
    this.#events.refused(peer, reason);
  }

  tunnelClosed(): void {
    this.#events.tunnelClosed();
  }

  badRequest(facts: ConnectionFacts, fault: string): void {
    this.#events.badRequest(facts, fault);
  }

  fault(error: unknown): void {
    this.loop.faults++;
    this.loop.onFault(error);
  }

  decide(facts: ConnectionFacts, request: RequestMessage): Decision {
    return this.#events.decide(facts, request);
  }

  judge(facts: ConnectionFacts): string | undefined {
    return this.#events.judge(facts);
  }

  protocolFor(
    { target }: Decision & { readonly kind: 'forward' },
    request: RequestMessage,
  ): ServerProtocol {
    const declared =
      target.kind === 'service' ? target.service.protocols.get(target.port) : undefined;
    if (declared === 'HTTP/2' || declared === 'gRPC') return 'http2';
    // An upgrade is HTTP/1's; gRPC is HTTP/2's, whatever the port is said to speak.
    if (request.upgrade !== '') return 'http1';
    if (isGrpc(request)) return 'http2';
    if (declared !== undefined) return 'http1';
    return request.protocol === 'HTTP/2' ? 'http2' : 'http1';
  }

  finished(record: ExchangeRecord): void {
    this.#events.finished(record);
  }

  tcpOpened(record: TcpRecord): void {
    this.#events.tcpOpened(record);
  }

  tcpClosed(record: TcpRecord): void {
    this.#events.tcpClosed(record);
  }

  // ---

  #dial(target: TunnelTarget, owner: TunnelOwner): ReturnType<DialTunnel> {
    const failed = { failed: true, stage: 'connect' } as const;
    if (this.#tls === undefined) {
      const reason = `identity error: no certificate for "${target.sourceIdentity}"`;
      return { end: { ...failed, reason, cause: 'identity' } };
    }
    const dialed = connectTcp({ to: target.address });
    if (!('fd' in dialed)) return { end: { ...failed, reason: errnoText(dialed.errno) } };
    own(dialed.fd);
    const local = localAddress(dialed.fd) ?? target.address;
    const ends = { fd: dialed.fd, local, remote: target.address };
    return { tunnel: Tunnel.dial(this.#tunnelHost, owner, this.#tls, ends) };
  }
}
