import { Http2Connection } from '#codec/http2/connection.ts';
import type { Http2ConnectionState } from '#codec/http2/connection-state.ts';
import type { Http2Events } from '#codec/http2/events.ts';
import type { Header } from '#codec/http2/field.ts';
import type { Http2Output } from '#codec/http2/frame-writer.ts';
import type { Http2Stream } from '#codec/http2/stream-state.ts';
import { invariant } from '#common/assert.ts';
import type { SocketAddress } from '#common/net/address.ts';
import type { Loop, TurnEnd } from '#reactor/loop.ts';
import type { Slab, SlabPool } from '#reactor/memory.ts';
import { WRITE_STALL_MS } from '#reactor/send-watch.ts';
import type { Timer } from '#reactor/timers.ts';
import type { TlsContext } from '#reactor/tls/context.ts';
import type { PeerCertificate } from '#reactor/tls/peer-certificate.ts';
import {
  type TlsBuffers,
  type TlsEnd,
  type TlsEvents,
  TlsSocket,
  type TlsSocketState,
} from '#reactor/tls/socket.ts';

import {
  PING_AFTER_MS,
  PONG_DEADLINE_MS,
  TUNNEL_OPEN_DEADLINE_MS,
  type TunnelOptions,
} from './options.ts';

/** What a thread's tunnels share. */
export interface TunnelHost {
  readonly loop: Loop;
  readonly buffers: TlsBuffers;
  /** Where frames are put together before they are sealed; one per tunnel and only while it is busy. */
  readonly staging: SlabPool;
  readonly options: TunnelOptions;
  /** Tunnels that have ended, and whose peer has not taken everything. */
  readonly ending: Set<Tunnel>;
}

/** Room for the largest batch of DATA, its frame header, and the control frames of a turn. */
export const STAGING_BYTES: number = 1_048_576 + 65_536;

/** Why a tunnel is no more. */
export interface TunnelEnd {
  /** False: nothing went wrong (drained, idle, closed by the peer with nothing open). */
  readonly failed: boolean;
  readonly reason: string;
  /** Which part failed, for the metric's response flag … */
  readonly stage: 'connect' | 'tls' | 'http2' | 'open';
  /** … and what is said of it more exactly: we have no certificate, or the peer is another one; no answer came. */
  readonly cause?: 'identity' | 'timeout';
}

/** Whoever made the tunnel. */
export interface TunnelOwner {
  /** The peer's certificate is verified against our roots; a returned text refuses the peer all the same. */
  onTunnelPeer(tunnel: Tunnel, peer: PeerCertificate): string | undefined;
  /** Streams can be opened (client), or will come (server). */
  onTunnelOpen(tunnel: Tunnel): void;
  /** A server's new stream. Set `stream.owner` or reset the stream. */
  onTunnelRequest(tunnel: Tunnel, stream: Http2Stream, headers: readonly Header[]): void;
  /** A stream has ended, or the peer's settings have come: a client's tunnel may have room again. */
  onTunnelRoom(tunnel: Tunnel): void;
  /** Exactly once: it carries no streams any more. Every stream's user has been told before. */
  onTunnelEnd(tunnel: Tunnel, end: TunnelEnd): void;
  /** Exactly once, after {@link onTunnelEnd}: its descriptor is closed. The peer has taken everything first. */
  onTunnelClosed(tunnel: Tunnel): void;
}

/** The user of one stream: `Http2Stream.owner`. Called synchronously. */
export interface StreamUser {
  onStreamHeaders(headers: readonly Header[], endStream: boolean): void;
  /** The bytes are valid only during the call. Give credit back with `tunnel.consume()` as they are taken. */
  onStreamData(slab: Slab, start: number, end: number): void;
  /** The peer will send no more. */
  onStreamEnd(): void;
  /** The stream is gone. */
  onStreamReset(code: number, byPeer: boolean): void;
  /** Sending was stopped by a window or a full socket, and is possible again. */
  onStreamRoom(): void;
  onTunnelGone(end: TunnelEnd): void;
}

/** Everything about an open tunnel, for another process. The descriptor travels beside it. */
export interface TunnelState {
  readonly role: 'client' | 'server';
  readonly tls: TlsSocketState;
  readonly http2: Http2ConnectionState;
  /** Frames that are not sealed yet. */
  readonly staged: Uint8Array;
  readonly peer: PeerCertificate;
  readonly peerIdentity: string;
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  /** It takes no more streams, and ends with the last one. */
  readonly draining: boolean;
}

/** Staged for a peer that does not read; beyond this it gets no new streams. */
const STAGED_BYTES_MAX = 262_144;

const noBytes = Buffer.alloc(0);
/** Any value does: one ping is in flight at a time. */
const PING_PAYLOAD = 0;
const DRAIN_PAYLOAD = 1;
// RFC 9113 section 7.
const INTERNAL_ERROR = 0x2;
const REFUSED_STREAM = 0x7;

/**
 * One HBONE connection: a TLS socket and an HTTP/2 codec joined. What its streams send in a turn is put
 * together in a staging slab and goes out in one write at the turn's end.
 */
export class Tunnel implements TlsEvents, Http2Events, Http2Output, TurnEnd, Timer {
  // The codec's output region: the staging slab while there is one.
  bytes: Buffer = noBytes;
  end = 0;

  readonly role: 'client' | 'server';
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  /** Set by the owner's verification; empty until then. */
  peerIdentity = '';
  peer: PeerCertificate | undefined;

  readonly #host: TunnelHost;
  readonly #owner: TunnelOwner;
  #tls!: TlsSocket;
  readonly #http2: Http2Connection;
  #staging: Slab | undefined;
  /** Streams by id between restore() and thaw(). */
  #restored: Map<number, Http2Stream> | undefined;
  /** The slab of the onPlaintext() call in progress. */
  #input: Slab | undefined;
  /** Users whose sending stopped because the whole tunnel was full, in order. */
  readonly #waiting = new Set<StreamUser>();
  #open = false;
  #ended = false;
  /** Asked once per turn, however many frames are written in it. */
  #turnEndAsked = false;
  /** The peer has refused a stream beyond so many. */
  #streamsMax = Number.POSITIVE_INFINITY;
  /** Either side takes no more streams on it. */
  #draining = false;
  /** We have said so, at this time … */
  #drainSaidMs: number | undefined;
  /** … and the peer knows, or is not waited for any more: what it opens now is refused. */
  #drainConfirmed = false;
  #fault: string | undefined;
  #heardMs: number;
  #pingedMs = 0;
  #idleSinceMs: number;
  /** The descriptor is closed, and the owner told. */
  #closed = false;

  private constructor(
    host: TunnelHost,
    owner: TunnelOwner,
    ends: {
      readonly role: 'client' | 'server';
      readonly local: SocketAddress;
      readonly remote: SocketAddress;
    },
    http2?: Http2ConnectionState,
  ) {
    this.#host = host;
    this.#owner = owner;
    this.role = ends.role;
    this.local = ends.local;
    this.remote = ends.remote;
    this.#heardMs = host.loop.nowMs;
    this.#idleSinceMs = host.loop.nowMs;
    const { options } = host;
    this.#http2 =
      http2 === undefined
        ? new Http2Connection(
            ends.role,
            {
              initialWindowSize: options.streamWindow,
              connectionWindow: options.connectionWindow,
              maxFrameSize: options.maxFrameSize,
              maxConcurrentStreams: options.maxConcurrentStreams,
              // Cheaper for both sides; a tunnel's few headers are no burden to the network.
              huffman: false,
            },
            this,
            this,
          )
        : Http2Connection.restore(http2, this, this);
  }

  /** Starts TLS as the client on a socket whose connect() is in progress. */
  static dial(
    host: TunnelHost,
    owner: TunnelOwner,
    context: TlsContext,
    ends: { readonly fd: number; readonly local: SocketAddress; readonly remote: SocketAddress },
  ): Tunnel {
    const tunnel = new Tunnel(host, owner, { ...ends, role: 'client' });
    const { loop, buffers } = host;
    const deadlineMs = TUNNEL_OPEN_DEADLINE_MS;
    tunnel.#tls = TlsSocket.connect(loop, buffers, context, ends.fd, tunnel, deadlineMs);
    return tunnel;
  }

  /** Starts TLS as the server on an accepted socket. */
  static accept(
    host: TunnelHost,
    owner: TunnelOwner,
    context: TlsContext,
    ends: { readonly fd: number; readonly local: SocketAddress; readonly remote: SocketAddress },
  ): Tunnel {
    const tunnel = new Tunnel(host, owner, { ...ends, role: 'server' });
    const { loop, buffers } = host;
    const deadlineMs = TUNNEL_OPEN_DEADLINE_MS;
    tunnel.#tls = TlsSocket.accept(loop, buffers, context, ends.fd, tunnel, deadlineMs);
    return tunnel;
  }

  /** Continues another process's tunnel, frozen until {@link thaw}. The users of its streams attach themselves. */
  static restore(host: TunnelHost, owner: TunnelOwner, state: TunnelState, fd: number): Tunnel {
    const tunnel = new Tunnel(host, owner, state, state.http2);
    tunnel.peer = state.peer;
    tunnel.peerIdentity = state.peerIdentity;
    tunnel.#draining = state.draining;
    if (state.draining) tunnel.#drainSaidMs = host.loop.nowMs;
    tunnel.#drainConfirmed = state.role === 'client';
    tunnel.#open = true;
    tunnel.#tls = TlsSocket.restore(host.loop, host.buffers, state.tls, fd, tunnel);
    if (state.staged.length > 0) {
      tunnel.#acquireStaging();
      tunnel.bytes.set(state.staged, 0);
      tunnel.end = state.staged.length;
    }
    return tunnel;
  }

  get fd(): number {
    return this.#tls.fd;
  }

  /** Before the end of the handshake. */
  get isOpening(): boolean {
    return !this.#open && !this.#ended;
  }

  /** Past the handshake, and not ended. */
  get isOpen(): boolean {
    return this.#open && !this.#ended;
  }

  get streamCount(): number {
    return this.#http2.streamCount;
  }

  /** Streams that the peer takes at once; undefined until it has said so. */
  get peerStreamsMax(): number | undefined {
    return this.#http2.peerSettingsSeen ? this.#http2.peerMaxConcurrentStreams : undefined;
  }

  /** May one more stream be put on it? */
  get hasRoom(): boolean {
    return (
      this.isOpen &&
      !this.#draining &&
      // A peer that reads nothing gets no more streams: there would be no room left for their requests.
      (!this.#tls.blocked || this.end < STAGED_BYTES_MAX) &&
      this.#http2.streamCount < this.#host.options.streamsPerTunnelMax &&
      this.#http2.streamCount < this.#streamsMax &&
      this.#http2.canOpenStream()
    );
  }

  /** Opens a stream, undefined when there is no room. The caller sets its `owner` to a {@link StreamUser} at once. */
  openStream(headers: readonly Header[]): Http2Stream | undefined {
    return this.hasRoom ? this.#http2.openStream(headers, false) : undefined;
  }

  /** Answers a request. With `endStream` nothing follows. */
  respond(stream: Http2Stream, headers: readonly Header[], endStream: boolean): void {
    if (!this.#ended) this.#http2.sendHeaders(stream, headers, endStream);
  }

  reset(stream: Http2Stream, code: number): void {
    if (!this.#ended) this.#http2.reset(stream, code);
    this.#streamGone();
  }

  /** The application has taken `length` bytes of the stream. */
  consume(stream: Http2Stream, length: number): void {
    if (!this.#ended) this.#http2.consume(stream, length);
  }

  /**
   * How many bytes of DATA the stream may put at `bytes[end + 9]` of {@link stagingSlab} now, at most `want`.
   * With 0 the user is told by `onStreamRoom()` when there is room again.
   */
  roomFor(stream: Http2Stream, user: StreamUser, want: number): number {
    if (this.#ended) return 0;
    if (this.#tls.blocked) {
      this.#waiting.add(user);
      return 0;
    }
    const allowed = Math.min(want, this.#http2.dataAllowance(stream));
    if (allowed <= 0) {
      // A stream's own window tells its user itself; the connection's tells all who wait.
      if (stream.sendWindow > 0) this.#waiting.add(user);
      return 0;
    }
    if (!this.reserve(allowed + 9)) {
      this.#waiting.add(user);
      return 0;
    }
    return allowed;
  }

  /** Where {@link roomFor} has made room. */
  get stagingSlab(): Slab {
    return this.#staging as Slab;
  }

  /** `length` bytes lie at `end + 9`: makes them a DATA frame. */
  commit(stream: Http2Stream, length: number, endStream: boolean): void {
    this.#http2.commitData(stream, length, endStream);
  }

  /** A user is done with its stream, or no longer waits. */
  forget(user: StreamUser): void {
    this.#waiting.delete(user);
    this.#streamGone();
  }

  /** Lets open streams finish, takes no new ones, then closes. */
  drain(): void {
    if (this.#drainSaidMs !== undefined || this.#ended) return;
    this.#draining = true;
    this.#drainSaidMs = this.#host.loop.nowMs;
    if (!this.#open) {
      this.close({ failed: false, reason: 'drained', stage: 'connect' });
      return;
    }
    this.#http2.drain();
    this.#drainConfirmed = this.role === 'client';
    this.#awaitDrainConfirmed();
    this.#finishIfDrained();
  }

  /** Closes at once, whatever is open. What has ended goes on until its peer has everything. */
  close(end: TunnelEnd): void {
    if (this.#ended) return;
    this.#tls.destroy();
    this.#gone(end);
  }

  /** Is it open, and waits something for its peer? */
  get isSending(): boolean {
    if (!this.isOpen) return false;
    return this.end > 0 || this.#tls.waitedMs(this.#host.loop.nowMs) !== undefined;
  }

  // --- Http2Output

  reserve(length: number): boolean {
    if (this.#ended) return false;
    if (this.#staging === undefined) this.#acquireStaging();
    // One byte more: the record layer puts the content type behind the plaintext for a moment.
    if (this.end + length + 1 > this.bytes.length && !this.#tls.blocked) this.#flush();
    if (this.#staging === undefined) this.#acquireStaging();
    if (!this.#turnEndAsked) {
      this.#turnEndAsked = true;
      this.#host.loop.atTurnEnd(this);
    }
    return this.end + length + 1 <= this.bytes.length;
  }

  onTurnEnd(): void {
    this.#turnEndAsked = false;
    if (!this.#ended && !this.#tls.blocked) this.#flush();
    this.#finishIfDrained();
  }

  // --- TlsEvents

  onTlsOpen(peer: PeerCertificate): string | undefined {
    this.peer = peer;
    const refusal = this.#owner.onTunnelPeer(this, peer);
    if (refusal !== undefined) return refusal;
    this.#open = true;
    this.#heardMs = this.#host.loop.nowMs;
    this.#idleSinceMs = this.#heardMs;
    this.#http2.start();
    this.#schedulePing();
    this.#owner.onTunnelOpen(this);
    return undefined;
  }

  onPlaintext(slab: Slab, start: number, end: number): void {
    // It still says what it has taken; nobody needs it any more.
    if (this.#ended) return;
    this.#heardMs = this.#host.loop.nowMs;
    this.#pingedMs = 0;
    this.#input = slab;
    this.#http2.receive(slab.bytes, start, end, this.#heardMs);
    this.#input = undefined;
  }

  onTlsDrained(): void {
    this.#flush();
    this.#http2.flushCredit();
    this.#resumeWaiting();
  }

  onTlsEnd(end: TlsEnd): void {
    this.#gone(this.#describe(end));
  }

  // --- Http2Events

  onHeaders(stream: Http2Stream, headers: readonly Header[], endStream: boolean): void {
    const user = stream.owner as StreamUser | undefined;
    if (user !== undefined) {
      user.onStreamHeaders(headers, endStream);
      return;
    }
    if (this.role === 'server') this.#owner.onTunnelRequest(this, stream, headers);
    if (endStream) (stream.owner as StreamUser | undefined)?.onStreamEnd();
  }

  onData(
    stream: Http2Stream,
    _bytes: Buffer,
    start: number,
    end: number,
    endStream: boolean,
  ): void {
    const user = stream.owner as StreamUser | undefined;
    if (user === undefined) {
      this.#http2.consume(stream, end - start);
      return;
    }
    // The codec hands DATA on in place, so the bytes lie in the slab of the call in progress.
    if (start < end) user.onStreamData(this.#input as Slab, start, end);
    if (endStream) user.onStreamEnd();
  }

  onReset(stream: Http2Stream, code: number, byPeer: boolean): void {
    // First of all: whoever is refused here asks for another tunnel at once.
    if (byPeer && code === REFUSED_STREAM) this.#streamsMax = this.#http2.streamCount;
    const user = stream.owner as StreamUser | undefined;
    if (user !== undefined) {
      this.#waiting.delete(user);
      user.onStreamReset(code, byPeer);
    }
    // A tunnel on which no stream can be opened is of no use.
    if (this.#streamsMax === 0) this.drain();
    this.#streamGone();
  }

  onSendWindow(stream: Http2Stream | undefined): void {
    if (stream === undefined) this.#resumeWaiting();
    else (stream.owner as StreamUser | undefined)?.onStreamRoom();
  }

  onPeerSettings(): void {
    this.#owner.onTunnelRoom(this);
  }

  onPong(payload: number): void {
    this.#pingedMs = 0;
    if (payload === DRAIN_PAYLOAD && this.#drainSaidMs !== undefined) this.#confirmDrain();
  }

  onGoaway(_lastStreamId: number, code: number, debug: string): void {
    this.#draining = true;
    if (code !== 0)
      this.#fault ??= `peer sent GOAWAY ${code}${debug === '' ? '' : ` (${printable(debug)})`}`;
    if (this.#http2.streamCount === 0) this.#host.loop.atTurnEnd(this);
  }

  onConnectionError(code: number, reason: string): void {
    this.#fault = `HTTP/2 error ${code}: ${reason}`;
    this.#flush();
    const end: TunnelEnd = { failed: true, reason: this.#fault, stage: 'http2' };
    this.#tls.end();
    this.#gone(end);
  }

  // --- Timer and TurnEnd: what they throw

  onFault(error: unknown): void {
    const reason = `internal error: ${error instanceof Error ? error.message : String(error)}`;
    this.close({ failed: true, reason, stage: 'open' });
  }

  // --- Timer: signs of life

  onTimer(nowMs: number): void {
    if (this.#ended) return;
    const { options } = this.#host;
    if ((this.#tls.waitedMs(nowMs) ?? 0) >= WRITE_STALL_MS) {
      const reason = `${this.remote.ip} has taken nothing of what waits for it for ${WRITE_STALL_MS / 1_000} s`;
      this.close({ failed: true, reason, stage: 'open' });
      return;
    }
    if (this.#pingedMs > 0 && nowMs - this.#pingedMs >= PONG_DEADLINE_MS) {
      const reason = `no answer from ${this.remote.ip} for ${PONG_DEADLINE_MS / 1_000} s`;
      this.close({ failed: true, reason, stage: 'open' });
      return;
    }
    const idleMs = this.#http2.streamCount === 0 ? nowMs - this.#idleSinceMs : 0;
    // The client closes what it does not use; one that does not is not kept for ever.
    const idleMsMax = this.role === 'client' ? options.idleTimeoutMs : 2 * options.idleTimeoutMs;
    const expired = this.peer !== undefined && Date.now() > this.peer.notAfterMs;
    // Open streams go on; new ones need a peer whose certificate is valid now.
    if (idleMs >= idleMsMax || expired) this.drain();
    if (this.#ended) return;
    const drainSaidMs = this.#drainSaidMs ?? nowMs;
    if (nowMs - drainSaidMs >= PONG_DEADLINE_MS) this.#confirmDrain();
    if (this.#pingedMs === 0 && nowMs - this.#heardMs >= PING_AFTER_MS) {
      this.#http2.ping(PING_PAYLOAD);
      this.#pingedMs = nowMs;
    }
    this.#schedulePing();
  }

  // --- Hand-over

  /** No I/O until {@link thaw}. What can be sealed is on its way before. */
  freeze(): void {
    if (!this.#tls.blocked) this.#flush();
    this.#tls.freeze();
    this.#host.loop.timers.cancel(this);
  }

  thaw(): void {
    this.#restored = undefined;
    this.#tls.thaw();
    // Nobody will ever read or end what could not be attached.
    for (const stream of this.#http2.streams()) {
      if (stream.owner === undefined) this.#http2.reset(stream, INTERNAL_ERROR);
    }
    this.#schedulePing();
    // The answer to a ping of before may have come to a process that is no more.
    if (this.#drainSaidMs !== undefined) this.#awaitDrainConfirmed();
    this.#host.loop.atTurnEnd(this);
    this.#resumeWaiting();
  }

  /** Can it move? Only an open tunnel's state is all ours. */
  get canMove(): boolean {
    return this.isOpen && this.#tls.state === 'open';
  }

  export(): TunnelState {
    return {
      role: this.role,
      tls: this.#tls.export(),
      http2: this.#http2.export(),
      staged: Uint8Array.from(this.bytes.subarray(0, this.end)),
      peer: this.peer as PeerCertificate,
      peerIdentity: this.peerIdentity,
      local: this.local,
      remote: this.remote,
      draining: this.#draining,
    };
  }

  /** Another process has it: forgets everything, says nothing to the peer. */
  release(): void {
    this.#ended = true;
    this.#closed = true;
    this.#releaseStaging();
    this.#host.loop.timers.cancel(this);
    this.#tls.release();
  }

  /** An open stream, for whoever attaches its user after {@link restore}. Throws when there is none. */
  streamById(id: number): Http2Stream {
    this.#restored ??= new Map([...this.#http2.streams()].map((stream) => [stream.id, stream]));
    const stream = this.#restored.get(id);
    invariant(stream !== undefined, `the tunnel's state has stream ${id}`);
    return stream;
  }

  // ---

  #schedulePing(): void {
    const { loop } = this.#host;
    // A certificate ends at its time.
    const validMs = (this.peer?.notAfterMs ?? 0) - Date.now();
    const waitMs = validMs >= 0 ? Math.min(validMs + 1, PING_AFTER_MS) : PING_AFTER_MS;
    loop.timers.schedule(this, loop.nowMs + waitMs);
  }

  #acquireStaging(): void {
    this.#staging = this.#host.staging.acquire();
    this.bytes = this.#staging.bytes;
    this.end = 0;
  }

  #releaseStaging(): void {
    if (this.#staging === undefined) return;
    this.#host.staging.release(this.#staging);
    this.#staging = undefined;
    this.bytes = noBytes;
    this.end = 0;
  }

  #flush(): void {
    if (this.#staging === undefined) return;
    const { end } = this;
    // Emptied before the write: what the write calls back may stage more.
    this.end = 0;
    if (end > 0) this.#tls.write(this.#staging, 0, end);
    if (this.end === 0) this.#releaseStaging();
  }

  #resumeWaiting(): void {
    if (this.#waiting.size === 0) return;
    // Taken out first: a user that finds no room puts itself back, behind the others.
    const users = [...this.#waiting];
    this.#waiting.clear();
    for (const user of users) {
      if (this.#ended) return;
      if (this.#tls.blocked) this.#waiting.add(user);
      else user.onStreamRoom();
    }
  }

  #streamGone(): void {
    if (this.#ended) return;
    if (this.#http2.streamCount === 0) {
      this.#idleSinceMs = this.#host.loop.nowMs;
      if (this.#draining) this.#host.loop.atTurnEnd(this);
    }
    if (this.role === 'client') this.#owner.onTunnelRoom(this);
  }

  /**
   * A server's peer may have sent requests before it hears of the end: its answer to a ping comes after them
   * (RFC 9113 section 6.8).
   */
  #awaitDrainConfirmed(): void {
    if (!this.#drainConfirmed) this.#http2.ping(DRAIN_PAYLOAD);
  }

  /** Says which stream was the last: whoever opens others all the same is not listened to. */
  #confirmDrain(): void {
    if (this.#drainConfirmed) return;
    this.#drainConfirmed = true;
    this.#http2.goaway(0);
    this.#host.loop.atTurnEnd(this);
  }

  #finishIfDrained(): void {
    if (!this.#draining || this.#ended || !this.#open) return;
    // Who has said itself that it opens no more streams is not asked.
    if (this.#drainSaidMs !== undefined && !this.#drainConfirmed) return;
    if (this.#http2.streamCount === 0) this.#finish();
  }

  /** Drained: says goodbye. */
  #finish(): void {
    this.#http2.goaway(0);
    this.#flush();
    this.#tls.end();
    const reason = this.#fault ?? 'drained';
    this.#gone({ failed: this.#fault !== undefined, reason, stage: 'open' });
  }

  #gone(end: TunnelEnd): void {
    if (!this.#ended) this.#leave(end);
    if (this.#tls.state !== 'closed') {
      this.#host.ending.add(this);
      return;
    }
    this.#host.ending.delete(this);
    if (this.#closed) return;
    this.#closed = true;
    this.#owner.onTunnelClosed(this);
  }

  #leave(end: TunnelEnd): void {
    this.#ended = true;
    this.#host.loop.timers.cancel(this);
    this.#releaseStaging();
    this.#waiting.clear();
    for (const stream of this.#http2.streams()) {
      (stream.owner as StreamUser | undefined)?.onTunnelGone(end);
    }
    this.#owner.onTunnelEnd(this, end);
  }

  #describe(end: TlsEnd): TunnelEnd {
    const stage = this.#open ? 'open' : 'tls';
    if (this.#fault !== undefined) return { failed: true, reason: this.#fault, stage: 'http2' };
    switch (end.kind) {
      case 'closed':
        return {
          failed: !this.#open || this.#http2.streamCount > 0,
          reason: 'closed by the peer',
          stage,
        };
      case 'truncated':
        return { failed: true, reason: 'connection ended without a TLS close', stage };
      case 'alert':
        // After our side of the handshake a client's first alert is still about its certificate.
        return { failed: true, reason: `tls error: peer sent alert ${end.name}`, stage: 'tls' };
      case 'error':
        return this.#describeError(end.code, end.message);
    }
  }

  #describeError(code: string, reason: string): TunnelEnd {
    // The owner's words, which name what is wrong with the peer.
    if (code === 'TLS_PEER_REFUSED')
      return { failed: true, reason, stage: 'tls', cause: 'identity' };
    if (code.startsWith('TLS_'))
      return { failed: true, reason: `tls error: ${reason}`, stage: 'tls' };
    if (this.#open) return { failed: true, reason, stage: 'open' };
    const end = { failed: true, reason, stage: 'connect' } as const;
    return code === 'ETIMEDOUT' ? { ...end, cause: 'timeout' } : end;
  }
}

/** Peer-supplied text for a log line. */
function printable(text: string): string {
  return text.slice(0, 200).replaceAll(/[^ -~]/g, '?');
}
