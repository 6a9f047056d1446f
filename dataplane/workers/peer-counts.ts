import type { IpAddress } from '#common/net/address.ts';
import type { Tunnel } from '#hbone/tunnel.ts';

/** How many of something each address has; one that has none is forgotten. */
export class PeerCounts {
  readonly #counts = new Map<IpAddress, number>();

  of(peer: IpAddress): number {
    return this.#counts.get(peer) ?? 0;
  }

  add(peer: IpAddress): void {
    this.#counts.set(peer, this.of(peer) + 1);
  }

  remove(peer: IpAddress): void {
    const left = this.of(peer) - 1;
    if (left > 0) this.#counts.set(peer, left);
    else this.#counts.delete(peer);
  }
}

/** The tunnels of one pod's listener, counted by where they come from: at this pod, and at all of the thread. */
export class PeerTunnels extends Set<Tunnel> {
  readonly #here = new PeerCounts();
  readonly #everywhere: PeerCounts;

  constructor(everywhere: PeerCounts) {
    super();
    this.#everywhere = everywhere;
  }

  /** How many `peer` has to this pod. */
  from(peer: IpAddress): number {
    return this.#here.of(peer);
  }

  override add(tunnel: Tunnel): this {
    if (this.has(tunnel)) return this;
    this.#here.add(tunnel.remote.ip);
    this.#everywhere.add(tunnel.remote.ip);
    return super.add(tunnel);
  }

  override delete(tunnel: Tunnel): boolean {
    if (!super.delete(tunnel)) return false;
    this.#here.remove(tunnel.remote.ip);
    this.#everywhere.remove(tunnel.remote.ip);
    return true;
  }
}
