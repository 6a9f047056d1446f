import type { SocketAddress } from '#common/net/address.ts';
import type { PeerCertificate } from '#reactor/tls/peer-certificate.ts';

import { peerName } from './peer-name.ts';
import type { Tunnel, TunnelEnd, TunnelOwner, TunnelState } from './tunnel.ts';

/** A peer, as the pool tells them apart: one tunnel is only ever shared by equal targets. */
export interface TunnelTarget {
  readonly sourceIdentity: string;
  /** Any one of these must be the peer's. */
  readonly expectedIdentities: readonly string[];
  readonly address: SocketAddress;
  /** The client's own address: what the peer sees a stream come from. */
  readonly sourceIp: string;
}

/** Somebody who needs a stream. Called once, perhaps before `acquire` returns. */
export interface TunnelWaiter {
  /** The tunnel has room for one more stream: open it now. */
  onTunnelReady(tunnel: Tunnel): void;
  onTunnelFailed(end: TunnelEnd): void;
}

/** Opens the socket and starts TLS, or says why it can't. */
export type DialTunnel = (
  target: TunnelTarget,
  owner: TunnelOwner,
) => { readonly tunnel: Tunnel } | { readonly end: TunnelEnd };

interface Entry {
  readonly key: string;
  readonly target: TunnelTarget;
  readonly tunnels: Set<Tunnel>;
  dialing: Tunnel | undefined;
  waiters: TunnelWaiter[];
  /** Streams that the peer takes on one tunnel, as it said last: good for a tunnel on which it has not said so yet. */
  streamsMax: number;
}

/**
 * The tunnels that one pod's connections share, by target. One dial at a time per target; whoever comes
 * meanwhile waits for it. A stream's place is used again when it ends.
 */
export class TunnelPool implements TunnelOwner {
  readonly #dial: DialTunnel;
  readonly #entries = new Map<string, Entry>();
  readonly #entryOf = new Map<Tunnel, Entry>();

  constructor(dial: DialTunnel) {
    this.#dial = dial;
  }

  /** Gives `waiter` a tunnel with room, now or when one is open. */
  acquire(target: TunnelTarget, waiter: TunnelWaiter): void {
    const entry = this.#entry(target);
    for (const tunnel of entry.tunnels) {
      if (!hasRoom(entry, tunnel)) continue;
      waiter.onTunnelReady(tunnel);
      return;
    }
    entry.waiters.push(waiter);
    this.#dialIfNeeded(entry);
  }

  /** Takes back an {@link acquire}: the waiter is not called any more. */
  cancel(target: TunnelTarget, waiter: TunnelWaiter): void {
    const entry = this.#entries.get(keyOf(target));
    if (entry === undefined) return;
    entry.waiters = entry.waiters.filter((other) => other !== waiter);
    this.#dropIfUnused(entry);
  }

  /** Open tunnels with their targets, for the hand-over. */
  *open(): Iterable<{ readonly tunnel: Tunnel; readonly target: TunnelTarget }> {
    for (const [tunnel, entry] of this.#entryOf) {
      if (tunnel.isOpen) yield { tunnel, target: entry.target };
    }
  }

  /** Tunnels whose handshake is not done. */
  get dialing(): readonly Tunnel[] {
    return [...this.#entries.values()].flatMap((entry) => entry.dialing ?? []);
  }

  /** Puts a tunnel of another process in its place. */
  adopt(
    target: TunnelTarget,
    restore: (owner: TunnelOwner, state: TunnelState) => Tunnel,
    state: TunnelState,
  ): Tunnel {
    const entry = this.#entry(target);
    const tunnel = restore(this, state);
    entry.tunnels.add(tunnel);
    this.#entryOf.set(tunnel, entry);
    return tunnel;
  }

  /** Takes no more streams; tunnels close when theirs have ended. */
  drain(): void {
    for (const tunnel of this.#entryOf.keys()) tunnel.drain();
  }

  /** Closes everything at once. */
  close(reason: string): void {
    const end: TunnelEnd = { failed: true, reason, stage: 'open' };
    for (const entry of this.#entries.values()) this.#failWaiters(entry, end);
    for (const tunnel of this.#entryOf.keys()) tunnel.close(end);
    this.#entries.clear();
  }

  /** Forgets tunnels that belong to another process now; they are not touched. */
  disown(tunnels: Iterable<Tunnel>): void {
    for (const tunnel of tunnels) {
      const entry = this.#entryOf.get(tunnel);
      if (entry === undefined) continue;
      this.#entryOf.delete(tunnel);
      entry.tunnels.delete(tunnel);
      this.#dropIfUnused(entry);
    }
  }

  // --- TunnelOwner, for client tunnels

  onTunnelPeer(tunnel: Tunnel, peer: PeerCertificate): string | undefined {
    const expected = this.#entryOf.get(tunnel)?.target.expectedIdentities ?? [];
    const read = peerName(peer);
    if ('refusal' in read) return read.refusal;
    if (!expected.includes(read.name)) {
      return `identity error: the peer is "${read.name}", want ${expected.map((name) => `"${name}"`).join(' or ')}`;
    }
    tunnel.peerIdentity = read.name;
    return undefined;
  }

  onTunnelOpen(tunnel: Tunnel): void {
    const entry = this.#entryOf.get(tunnel);
    if (entry === undefined) return;
    entry.dialing = undefined;
    entry.tunnels.add(tunnel);
    this.#serveWaiters(entry);
  }

  onTunnelRequest(tunnel: Tunnel, stream: Parameters<TunnelOwner['onTunnelRequest']>[1]): void {
    // The codec refuses requests in the client role; this can't happen.
    tunnel.reset(stream, 1);
  }

  onTunnelRoom(tunnel: Tunnel): void {
    const entry = this.#entryOf.get(tunnel);
    if (entry === undefined) return;
    entry.streamsMax = tunnel.peerStreamsMax ?? entry.streamsMax;
    if (entry.waiters.length > 0) this.#serveWaiters(entry);
  }

  onTunnelEnd(tunnel: Tunnel, end: TunnelEnd): void {
    const entry = this.#entryOf.get(tunnel);
    if (entry === undefined) return;
    this.#entryOf.delete(tunnel);
    entry.tunnels.delete(tunnel);
    if (entry.dialing === tunnel) {
      entry.dialing = undefined;
      this.#failWaiters(entry, end);
    }
    this.#dialIfNeeded(entry);
    this.#dropIfUnused(entry);
  }

  onTunnelClosed(): void {
    // What has ended was forgotten then.
  }

  // ---

  #entry(target: TunnelTarget): Entry {
    const key = keyOf(target);
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = {
        key,
        target,
        tunnels: new Set(),
        dialing: undefined,
        waiters: [],
        streamsMax: Infinity,
      };
      this.#entries.set(key, entry);
    }
    return entry;
  }

  #serveWaiters(entry: Entry): void {
    for (const tunnel of entry.tunnels) {
      while (entry.waiters.length > 0 && hasRoom(entry, tunnel)) {
        entry.waiters.shift()?.onTunnelReady(tunnel);
      }
    }
    this.#dialIfNeeded(entry);
  }

  #dialIfNeeded(entry: Entry): void {
    if (entry.waiters.length === 0 || entry.dialing !== undefined) return;
    const dialed = this.#dial(entry.target, this);
    if ('end' in dialed) {
      this.#failWaiters(entry, dialed.end);
      this.#dropIfUnused(entry);
      return;
    }
    entry.dialing = dialed.tunnel;
    this.#entryOf.set(dialed.tunnel, entry);
  }

  #failWaiters(entry: Entry, end: TunnelEnd): void {
    const { waiters } = entry;
    entry.waiters = [];
    for (const waiter of waiters) waiter.onTunnelFailed(end);
  }

  #dropIfUnused(entry: Entry): void {
    if (entry.tunnels.size > 0 || entry.dialing !== undefined || entry.waiters.length > 0) return;
    if (this.#entries.get(entry.key) === entry) this.#entries.delete(entry.key);
  }
}

/** Every new tunnel takes at least one stream, so that each dial gets somebody on. */
function hasRoom(entry: Entry, tunnel: Tunnel): boolean {
  if (!tunnel.hasRoom) return false;
  return tunnel.peerStreamsMax !== undefined || tunnel.streamCount < Math.max(1, entry.streamsMax);
}

function keyOf(target: TunnelTarget): string {
  const { sourceIdentity, expectedIdentities, address, sourceIp } = target;
  return `${sourceIdentity} ${expectedIdentities.join(' ')} ${address.ip} ${address.port} ${sourceIp}`;
}
