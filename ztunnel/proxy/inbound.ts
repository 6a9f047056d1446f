import type { Header } from '#codec/http2/field.ts';
import type { Http2Stream } from '#codec/http2/stream-state.ts';
import { invariant } from '#common/assert.ts';
import { formatSocketAddress } from '#common/net/address.ts';
import { type Identity, parseIdentity, sameTrustDomain } from '#common/tls/spiffe.ts';
import type { ConnectionFacts } from '#dataplane/authz/match.ts';
import { identityOf, type Workload } from '#dataplane/state/workload.ts';
import type { AccessRecord } from '#dataplane/telemetry/access-log.ts';
import type { ResponseFlag } from '#dataplane/telemetry/connection-labels.ts';
import type { PeerTunnels } from '#dataplane/workers/peer-counts.ts';
import { BAGGAGE_HEADER, parseBaggage, writeBaggage } from '#hbone/headers.ts';
import { Leftover, type LeftoverState } from '#hbone/leftover.ts';
import { peerName } from '#hbone/peer-name.ts';
import { type StreamObserver, StreamRelay, type StreamRelayState } from '#hbone/stream.ts';
import type { StreamEnd } from '#hbone/stream-end.ts';
import type { Tunnel, TunnelEnd, TunnelOwner } from '#hbone/tunnel.ts';
import type { ByteBudget } from '#reactor/byte-budget.ts';
import type { PeerCertificate } from '#reactor/tls/peer-certificate.ts';
import { Accounting, type AccountingState, refuseEarly } from './accounting.ts';
import type { Denial, PolicedConnection } from './connections.ts';
import {
  type ConnectionDescription,
  connectFromPod,
  type LiveConnection,
  type PodContext,
  type ThreadContext,
} from './context.ts';
import { Handshakes } from './handshakes.ts';
import { localWorkload } from './local-workload.ts';
import { type AcceptedRequest, readTunnelRequest } from './tunnel-request.ts';

const NO_ERROR = 0x0;

/** The 15008 side of a pod: decides which peers and requests are let in. */
export class InboundTunnels implements TunnelOwner {
  readonly tunnels: PeerTunnels;
  readonly #context: PodContext;
  readonly #handshaking = new Handshakes();

  constructor(context: PodContext) {
    this.#context = context;
    this.tunnels = context.admission.tunnels;
  }

  /** Tunnels whose handshake is not done. */
  get handshaking(): number {
    return this.#handshaking.size;
  }

  /** A connection was accepted and its handshake begins. */
  begun(tunnel: Tunnel): void {
    this.tunnels.add(tunnel);
    const yielding = this.#handshaking.add(tunnel);
    if (yielding === undefined) return;
    const { admission, thread } = this.#context;
    admission.gaveWay(yielding.remote.ip, thread.loop.nowMs);
    const reason = 'gave way to another handshake';
    yielding.close({ failed: false, reason, stage: 'open' });
  }

  onTunnelPeer(tunnel: Tunnel, peer: PeerCertificate): string | undefined {
    const read = peerName(peer);
    if ('refusal' in read) return read.refusal;
    const identity = parseIdentity(read.name);
    if (identity === undefined) return 'identity error: the peer has no SPIFFE name of a workload';
    const local = localWorkload(this.#context);
    if (local === undefined) return 'identity error: the local workload is not known';
    if (!sameTrustDomain(identity, identityOf(local))) {
      return `identity error: trust domain of "${identity}" is not "${local.trustDomain}"`;
    }
    tunnel.peerIdentity = identity;
    return undefined;
  }

  onTunnelOpen(tunnel: Tunnel): void {
    this.#handshaking.delete(tunnel);
  }

  onTunnelRoom(): void {
    // Only clients open streams.
  }

  onTunnelRequest(tunnel: Tunnel, stream: Http2Stream, headers: readonly Header[]): void {
    const { thread, admission, live } = this.#context;
    if (!admission.admitsConnection(live.size, tunnel.remote.ip, thread.loop.nowMs)) {
      answer({ tunnel, stream }, 503);
      return;
    }
    const workload = localWorkload(this.#context);
    const request = readTunnelRequest(headers, {
      localAddress: tunnel.local,
      pod: this.#context.pod,
      workload,
      view: thread.mesh,
      network: thread.settings.network,
      localhostAppTunnel: thread.settings.localhostAppTunnel,
    });
    if (request.kind === 'refused' || workload === undefined) {
      const status = request.kind === 'refused' ? request.status : 503;
      const reason = request.kind === 'refused' ? request.reason : 'local workload is not known';
      this.#refuse(tunnel, stream, status, reason);
      return;
    }
    if (request.proxyTarget !== undefined) {
      const reason = `${workload.namespace}/${workload.name} wants a PROXY protocol header, which is not served yet`;
      this.#refuse(tunnel, stream, 503, reason);
      return;
    }
    InboundConnection.take(this.#context, { tunnel, stream }, workload, request);
  }

  onTunnelEnd(tunnel: Tunnel, end: TunnelEnd): void {
    this.#handshaking.delete(tunnel);
    if (!end.failed || end.stage === 'open') return;
    this.#logRefusal(tunnel, end.reason);
  }

  onTunnelClosed(tunnel: Tunnel): void {
    this.tunnels.delete(tunnel);
  }

  #refuse(tunnel: Tunnel, stream: Http2Stream, status: number, reason: string): void {
    answer({ tunnel, stream }, status);
    this.#logRefusal(tunnel, reason);
  }

  #logRefusal(tunnel: Tunnel, reason: string): void {
    const ends = { source: tunnel.remote, destination: tunnel.local };
    refuseEarly(this.#context.thread, 'inbound', ends, reason);
  }
}

interface TunnelStream {
  readonly tunnel: Tunnel;
  readonly stream: Http2Stream;
}

/** An inbound tunnel stream, or what is left of one whose tunnel has ended, for another process. */
export interface InboundState {
  readonly facts: ConnectionFacts;
  readonly workload: Workload;
  readonly accounting: AccountingState;
  readonly relay: StreamRelayState | LeftoverState;
}

/** One request of a peer's tunnel, from its CONNECT to its end. */
export class InboundConnection implements LiveConnection, PolicedConnection, StreamObserver {
  readonly facts: ConnectionFacts;
  readonly workload: Workload;
  readonly #context: PodContext;
  /** Undefined when its tunnel had ended before it came from another process. */
  readonly #through: TunnelStream | undefined;
  readonly #accounting: Accounting;
  #relay: StreamRelay | Leftover | undefined;
  #ended = false;

  private constructor(
    context: PodContext,
    through: TunnelStream | undefined,
    workload: Workload,
    facts: ConnectionFacts,
    accounting: Accounting,
  ) {
    this.#context = context;
    this.#through = through;
    this.workload = workload;
    this.facts = facts;
    this.#accounting = accounting;
    context.live.add(this);
    context.thread.connections.register(this);
  }

  /** Judges the request and dials the application; a refusal is answered at once. */
  static take(
    context: PodContext,
    through: TunnelStream,
    workload: Workload,
    request: AcceptedRequest,
  ): void {
    const { tunnel } = through;
    const facts: ConnectionFacts = {
      sourceIp: tunnel.remote.ip,
      destinationIp: request.target.ip,
      destinationPort: request.target.port,
      identity: tunnel.peerIdentity as Identity,
    };
    const accounting = openAccounting(context.thread, tunnel, workload, request);
    const connection = new InboundConnection(context, through, workload, facts, accounting);
    connection.#begin(through, request);
  }

  #begin(through: TunnelStream, request: AcceptedRequest): void {
    const { thread } = this.#context;
    const verdict = thread.connections.judge(this);
    if (verdict.kind === 'deny') {
      answer(through, 401);
      this.#finish(rejection(verdict, 'rejection'));
      return;
    }
    const { sourceIp } = this.facts;
    const spoof =
      thread.settings.originalSource &&
      request.keepSourceAddress &&
      sourceIp !== request.connectTo.ip;
    const dialed = connectFromPod(this.#context, request.connectTo, spoof ? sourceIp : undefined);
    if (!('fd' in dialed)) {
      answer(through, 503);
      this.#finish({ flag: 'CONNECT', error: `connection failed: ${dialed.reason}` });
      return;
    }
    const ends = { fd: dialed.fd, phase: 'connecting' } as const;
    this.#relay = new StreamRelay(thread.loop, through.tunnel, through.stream, ends, this);
    this.#relay.start();
  }

  countBytes(): void {
    if (this.#relay === undefined) return;
    this.#accounting.count(this.#relay.fromTunnel, this.#relay.toTunnel);
  }

  cut(why: string | Denial): void {
    if (this.#ended) return;
    this.#relay?.abort();
    this.countBytes();
    this.#finish(typeof why === 'string' ? { flag: '-', error: why } : rejection(why, 'change'));
  }

  describe(): ConnectionDescription {
    const { record } = this.#accounting;
    return {
      direction: 'inbound',
      source: record.source.address,
      originalDestination: record.destination.hboneAddress ?? '',
      actualDestination: formatSocketAddress({
        ip: this.facts.destinationIp,
        port: this.facts.destinationPort,
      }),
      protocol: 'HBONE',
    };
  }

  // --- StreamObserver

  get waitingBytes(): ByteBudget {
    return this.#context.admission.waiting;
  }

  onResponse(): string | undefined {
    return undefined;
  }

  onConnected(): void {
    const headers: Header[] = [[':status', '200']];
    if (this.#context.thread.settings.responseBaggage) {
      headers.push([BAGGAGE_HEADER, baggageOf(this.workload)]);
    }
    this.#through?.tunnel.respond(this.#through.stream, headers, false);
  }

  onTunnelOutlived(rest: Leftover): void {
    this.#relay = rest;
    rest.start();
  }

  onRelayEnd(end: StreamEnd): void {
    this.countBytes();
    if (end.kind === 'complete') {
      if (end.closedBy !== undefined) this.#accounting.record.closedBy = end.closedBy;
      this.#finish();
      return;
    }
    if (end.stage === 'dial' && this.#through !== undefined) answer(this.#through, 503);
    this.#finish({ flag: 'CONNECT', error: `connection failed: ${end.reason}` });
  }

  // --- Hand-over

  /** The tunnel that it uses; undefined when that has ended. */
  get tunnel(): Tunnel | undefined {
    return this.#relay instanceof Leftover ? undefined : this.#through?.tunnel;
  }

  freeze(): void {
    this.countBytes();
    this.#relay?.freeze();
  }

  thaw(): void {
    this.#relay?.start();
  }

  /** The application's socket. */
  get fd(): number {
    return (this.#relay as StreamRelay | Leftover).fd;
  }

  export(): InboundState {
    return {
      facts: this.facts,
      workload: this.workload,
      accounting: this.#accounting.export(),
      relay: (this.#relay as StreamRelay | Leftover).export(),
    };
  }

  release(): void {
    this.#ended = true;
    this.#context.live.delete(this);
    this.#context.thread.connections.forget(this);
    this.#relay?.release();
  }

  /** Continues a stream of another process, frozen until {@link thaw}. Throws when the tunnel lacks it. */
  static restore(
    context: PodContext,
    tunnel: Tunnel | undefined,
    state: InboundState,
    fd: number,
  ): InboundConnection {
    const { thread } = context;
    const { relay, workload, facts } = state;
    if (!('streamId' in relay)) {
      const accounting = Accounting.restore(thread, state.accounting);
      const connection = new InboundConnection(context, undefined, workload, facts, accounting);
      connection.#relay = Leftover.restore(thread.loop, relay, fd, connection);
      return connection;
    }
    invariant(tunnel !== undefined, 'a stream comes with its tunnel');
    // First, as it throws: a connection that was made is live and counted.
    const stream = tunnel.streamById(relay.streamId);
    const accounting = Accounting.restore(thread, state.accounting);
    const through = { tunnel, stream };
    const connection = new InboundConnection(context, through, workload, facts, accounting);
    connection.#relay = StreamRelay.restore(thread.loop, tunnel, stream, relay, fd, connection);
    return connection;
  }

  // ---

  #finish(failure?: {
    readonly flag: ResponseFlag;
    readonly error: string;
    readonly policy?: string;
  }): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#context.live.delete(this);
    this.#context.thread.connections.forget(this);
    this.#accounting.finish(failure);
  }
}

function openAccounting(
  thread: ThreadContext,
  tunnel: Tunnel,
  workload: Workload,
  request: AcceptedRequest,
): Accounting {
  const { network, responseBaggage } = thread.settings;
  const peer = tunnel.peerIdentity;
  const source = request.crossedNetwork
    ? undefined
    : thread.mesh.workloadByIp(network, tunnel.remote.ip);
  const baggage = responseBaggage ? parseBaggage(request.baggage) : {};
  const record: AccessRecord = {
    direction: 'inbound',
    source: {
      address: formatSocketAddress(tunnel.remote),
      workload: source?.name ?? baggage.workloadName,
      namespace: source?.namespace ?? baggage.namespace,
      identity: peer,
      cluster: source?.clusterId ?? baggage.clusterId,
    },
    destination: {
      address: formatSocketAddress(tunnel.local),
      hboneAddress: request.authority,
      service: request.service?.hostname,
      workload: workload.name,
      namespace: workload.namespace,
      identity: identityOf(workload),
      cluster: workload.clusterId,
    },
    startMs: Date.now(),
    bytesSent: 0,
    bytesReceived: 0,
  };
  return Accounting.open(thread, record, {
    reporter: 'destination',
    source,
    claimedSource: { ...baggage, cluster: baggage.clusterId },
    destination: workload,
    service: request.service,
    identities: { source: peer, destination: identityOf(workload) },
  });
}

/** How a denial reads in the log, at the start of a connection or when policies change under it. */
export function rejection(
  denial: Denial,
  when: 'rejection' | 'change',
): { readonly flag: ResponseFlag; readonly error: string; readonly policy?: string } {
  const error =
    when === 'rejection'
      ? `connection closed due to policy rejection: ${denial.reason}`
      : `connection closed due to policy change: ${denial.reason}`;
  return { flag: 'DENY', error, ...(denial.policy === undefined ? {} : { policy: denial.policy }) };
}

/** Answers without a body and lets the stream go (RFC 9113 section 8.1: the rest of the request is not needed). */
function answer({ tunnel, stream }: TunnelStream, status: number): void {
  tunnel.respond(stream, [[':status', String(status)]], true);
  tunnel.reset(stream, NO_ERROR);
}

const baggageTexts = new WeakMap<Workload, string>();

/** The `baggage` of a workload, made once. */
export function baggageOf(workload: Workload): string {
  let text = baggageTexts.get(workload);
  if (text === undefined) {
    const { region, zone } = workload.locality;
    text = writeBaggage({ ...workload, region, zone });
    baggageTexts.set(workload, text);
  }
  return text;
}
