import type { Header } from '#codec/http2/field.ts';
import type { Http2Stream } from '#codec/http2/stream-state.ts';
import type { IpAddress } from '#common/net/address.ts';
import { type Identity, parseIdentity, sameTrustDomain } from '#common/tls/spiffe.ts';
import type { MeshView } from '#dataplane/state/view.ts';
import { identityOf, type Workload } from '#dataplane/state/workload.ts';
import { PeerCounts, PeerTunnels } from '#dataplane/workers/peer-counts.ts';
import { peerName } from '#hbone/peer-name.ts';
import type { Tunnel, TunnelEnd, TunnelOwner } from '#hbone/tunnel.ts';
import type { PeerCertificate } from '#reactor/tls/peer-certificate.ts';

import type { ChannelUser } from '../channel/channel.ts';
import { TunnelChannel } from '../channel/tunnel-channel.ts';
import { destinationOf } from './destination.ts';
import { InnerConnection, type InnerHost } from './inner-connection.ts';

// RFC 9113 section 7.
const NO_ERROR = 0x0;

export interface TunnelsHost extends InnerHost {
  /** Takes nothing new, and ends. */
  readonly draining: boolean;
  readonly mesh: MeshView;
  /** The network that the waypoint is on. */
  readonly network: string;
  /** The waypoint itself, as the mesh knows it. */
  self(): Workload | undefined;
  /** A tunnel, or a request of one, was refused; `peer` is its address. */
  refused(peer: string, reason: string): void;
  tunnelClosed(): void;
}

/** The tunnels that come in on 15008: who may open one, and what its requests are for. */
export class Tunnels implements TunnelOwner {
  readonly all: PeerTunnels = new PeerTunnels(new PeerCounts());
  readonly #host: TunnelsHost;

  constructor(host: TunnelsHost) {
    this.#host = host;
  }

  /** Why there is no room for one more tunnel from this address; undefined when there is. */
  fullFor(peer: IpAddress): string | undefined {
    const { tunnels, tunnelsPerPeer } = this.#host.limits;
    if (this.all.size >= tunnels) return `the worker has ${tunnels} tunnels, as many as it may`;
    if (this.all.from(peer) < tunnelsPerPeer) return undefined;
    return `the address has ${tunnelsPerPeer} tunnels to this worker, as many as it may`;
  }

  onTunnelPeer(tunnel: Tunnel, peer: PeerCertificate): string | undefined {
    const read = peerName(peer);
    if ('refusal' in read) return read.refusal;
    const identity = parseIdentity(read.name);
    if (identity === undefined) return 'identity error: the peer has no SPIFFE name of a workload';
    const self = this.#host.self();
    if (self === undefined) return 'identity error: this waypoint is not known yet';
    if (!sameTrustDomain(identity, identityOf(self))) {
      return `identity error: trust domain of "${identity}" is not "${self.trustDomain}"`;
    }
    tunnel.peerIdentity = identity;
    return undefined;
  }

  onTunnelOpen(): void {
    // Requests will come.
  }

  onTunnelRoom(): void {
    // Only clients open streams.
  }

  onTunnelRequest(tunnel: Tunnel, stream: Http2Stream, headers: readonly Header[]): void {
    const host = this.#host;
    const { mesh: view, network } = host;
    const destination = destinationOf(headers, { view, network, self: host.self() });
    if (destination.kind === 'refused') {
      this.#refuse(tunnel, stream, destination);
      return;
    }
    if (host.inner.size >= host.limits.connections) {
      const most = `${host.limits.connections} connections, as many as it may`;
      const reason = `no connection for it: the worker has ${most}`;
      this.#refuse(tunnel, stream, { status: 503, reason });
      return;
    }
    const facts = {
      identity: tunnel.peerIdentity as Identity,
      sourceIp: tunnel.remote.ip,
      sourceWorkload: view.workloadByIp(network, tunnel.remote.ip),
      destination: destination.address,
      target: destination.target,
    };
    tunnel.respond(stream, [[':status', '200']], false);
    const open = (user: ChannelUser): TunnelChannel =>
      new TunnelChannel(tunnel, stream, user, host.waiting);
    const { protocol } = destination;
    const leftMs = (tunnel.peer?.notAfterMs ?? 0) - Date.now();
    const options = { protocol, validUntilMs: host.loop.nowMs + leftMs };
    // It keeps itself among the others for as long as it lives.
    const inner = new InnerConnection(host, facts, options, open);
    // It was on its way when we said that we end.
    if (host.draining) inner.drainAfterFirst();
  }

  onTunnelEnd(tunnel: Tunnel, end: TunnelEnd): void {
    if (end.failed && end.stage !== 'open') this.#host.refused(tunnel.remote.ip, end.reason);
  }

  onTunnelClosed(tunnel: Tunnel): void {
    if (this.all.delete(tunnel)) this.#host.tunnelClosed();
  }

  #refuse(
    tunnel: Tunnel,
    stream: Http2Stream,
    { status, reason }: { readonly status: number; readonly reason: string },
  ): void {
    this.#host.refused(tunnel.remote.ip, reason);
    tunnel.respond(stream, [[':status', String(status)]], true);
    tunnel.reset(stream, NO_ERROR);
  }
}
