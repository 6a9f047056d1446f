import type { IpAddress } from '#common/net/address.ts';
import type { Tunnel } from '#hbone/tunnel.ts';

/** Of one address: four times what a gateway with 32 threads starts at once. */
const HANDSHAKES_PER_PEER_MAX = 128;
/** Of all addresses at one pod; each ends after 10 s anyway. */
const HANDSHAKES_PER_POD_MAX = 1_000;

/**
 * The tunnels of one pod's listener that are in their handshake. Who they are is not known yet, so nobody who comes
 * may be kept out by those who are there: beyond a limit the oldest gives way, of the address that has most. An
 * honest handshake takes milliseconds, and its address has few.
 */
export class Handshakes {
  /** Addresses and, of each, tunnels in the order in which they came. */
  readonly #ofPeer = new Map<IpAddress, Set<Tunnel>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Returns which one has to give way to it. */
  add(tunnel: Tunnel): Tunnel | undefined {
    const { ip } = tunnel.remote;
    const ofPeer = this.#ofPeer.get(ip) ?? new Set();
    this.#ofPeer.set(ip, ofPeer);
    ofPeer.add(tunnel);
    this.#size++;
    if (ofPeer.size > HANDSHAKES_PER_PEER_MAX) return first(ofPeer);
    return this.#size > HANDSHAKES_PER_POD_MAX ? first(this.#most()) : undefined;
  }

  delete(tunnel: Tunnel): void {
    const { ip } = tunnel.remote;
    const ofPeer = this.#ofPeer.get(ip);
    if (ofPeer?.delete(tunnel) !== true) return;
    this.#size--;
    if (ofPeer.size === 0) this.#ofPeer.delete(ip);
  }

  /** Of equal ones, who came first. */
  #most(): ReadonlySet<Tunnel> {
    let most: ReadonlySet<Tunnel> = new Set();
    for (const ofPeer of this.#ofPeer.values()) if (ofPeer.size > most.size) most = ofPeer;
    return most;
  }
}

function first(tunnels: ReadonlySet<Tunnel>): Tunnel | undefined {
  const [oldest] = tunnels;
  return oldest;
}
