import type { Header } from '#codec/http2/field.ts';
import type { Http2Stream } from '#codec/http2/stream-state.ts';
import type { StreamUser, Tunnel, TunnelEnd } from '#hbone/tunnel.ts';
import type { ByteBudget } from '#reactor/byte-budget.ts';
import type { Slab } from '#reactor/memory.ts';
import { PendingBytes } from '#reactor/pending.ts';

import type { Channel, ChannelUser } from './channel.ts';

// RFC 9113 section 7.
const NO_ERROR = 0x0;
const CANCEL = 0x8;

/** One stream of a tunnel whose CONNECT has been answered with 2xx, by us or by the peer. */
export class TunnelChannel implements Channel, StreamUser {
  user: ChannelUser;
  readonly #tunnel: Tunnel;
  readonly #stream: Http2Stream;
  readonly #pending: PendingBytes;
  #isOpen = true;
  /** finish() was called … */
  #finishing = false;
  /** … and END_STREAM is sent. */
  #finished = false;
  #peerFinished = false;

  /** The stream's `owner` becomes this channel. What waits for the peer counts in `waiting`. */
  constructor(tunnel: Tunnel, stream: Http2Stream, user: ChannelUser, waiting?: ByteBudget) {
    this.#tunnel = tunnel;
    this.#stream = stream;
    this.user = user;
    this.#pending = new PendingBytes(waiting);
    stream.owner = this;
  }

  get queued(): number {
    return this.#pending.length;
  }

  get overflows(): boolean {
    return this.#pending.overflows;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  write(bytes: Buffer, start: number, end: number): void {
    if (!this.#isOpen || this.#finishing) return;
    const from = this.#pending.length === 0 ? this.#send(bytes, start, end) : start;
    if (from < end) this.#pending.append(bytes, from, end);
  }

  finish(): void {
    if (!this.#isOpen || this.#finishing) return;
    this.#finishing = true;
    this.#sendEnd();
  }

  consume(length: number): void {
    // Also after the end: the stream is kept for its bytes.
    this.#tunnel.consume(this.#stream, length);
  }

  abort(): void {
    if (!this.#isOpen) return;
    this.#leave();
    this.#tunnel.reset(this.#stream, this.#peerFinished && this.#finished ? NO_ERROR : CANCEL);
  }

  // --- StreamUser

  onStreamHeaders(_headers: readonly Header[], endStream: boolean): void {
    // Trailers carry nothing for a stream of bytes.
    if (endStream) this.onStreamEnd();
  }

  onStreamData(slab: Slab, start: number, end: number): void {
    if (this.#isOpen) this.user.onBytes(slab.bytes, start, end);
    else this.#tunnel.consume(this.#stream, end - start);
  }

  onStreamEnd(): void {
    if (!this.#isOpen || this.#peerFinished) return;
    this.#peerFinished = true;
    this.user.onFinished();
    this.#closeIfDone();
  }

  onStreamReset(code: number, byPeer: boolean): void {
    if (!this.#isOpen) return;
    this.#leave();
    const who = byPeer ? 'by the peer' : 'for a protocol error';
    this.user.onBroken(`stream reset ${who} (HTTP/2 code ${code})`);
  }

  onStreamRoom(): void {
    if (!this.#isOpen) return;
    const { length } = this.#pending;
    this.#sendPending();
    if (this.#pending.length > 0) return;
    this.#sendEnd();
    if (length > 0) this.user.onDrained();
  }

  onTunnelGone(end: TunnelEnd): void {
    if (!this.#isOpen) return;
    this.#leave();
    this.user.onBroken(end.reason);
  }

  // ---

  #send(bytes: Buffer, start: number, end: number): number {
    const tunnel = this.#tunnel;
    let from = start;
    while (from < end) {
      const room = tunnel.roomFor(this.#stream, this, end - from);
      if (room === 0) break;
      bytes.copy(tunnel.bytes, tunnel.end + 9, from, from + room);
      tunnel.commit(this.#stream, room, false);
      from += room;
    }
    return from;
  }

  #sendPending(): void {
    const tunnel = this.#tunnel;
    while (this.#pending.length > 0) {
      const room = tunnel.roomFor(this.#stream, this, this.#pending.length);
      if (room === 0) return;
      this.#pending.peekTo(tunnel.bytes, tunnel.end + 9, room);
      this.#pending.drop(room);
      tunnel.commit(this.#stream, room, false);
    }
  }

  #sendEnd(): void {
    if (!this.#finishing || this.#finished || this.#pending.length > 0) return;
    // An empty frame needs no window; without room for its header the tunnel is at its end.
    if (!this.#tunnel.reserve(9)) return;
    this.#finished = true;
    this.#tunnel.commit(this.#stream, 0, true);
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (this.#finished && this.#peerFinished && this.#isOpen) this.#leave();
  }

  #leave(): void {
    this.#isOpen = false;
    this.#pending.clear();
    this.#tunnel.forget(this);
  }
}
