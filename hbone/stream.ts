import type { Header } from '#codec/http2/field.ts';
import type { Http2Stream } from '#codec/http2/stream-state.ts';
import type { ByteBudget } from '#reactor/byte-budget.ts';
import {
  type EventHandler,
  FAILED,
  HUNG_UP,
  type Loop,
  PEER_FINISHED,
  READABLE,
  WRITABLE,
} from '#reactor/loop.ts';
import type { Slab } from '#reactor/memory.ts';
import { PendingBytes } from '#reactor/pending.ts';
import { BATCH_BYTES_MIN } from '#reactor/relay.ts';
import {
  closeSocket,
  EAGAIN,
  errnoText,
  receiveInto,
  sendFrom,
  setLinger0,
  shutdownWrite,
  socketError,
} from '#reactor/socket.ts';
import type { Timer } from '#reactor/timers.ts';

import { Leftover } from './leftover.ts';
import { type StreamEnd, socketFailure } from './stream-end.ts';
import type { StreamUser, Tunnel, TunnelEnd } from './tunnel.ts';

// RFC 9113 section 7; CONNECT_ERROR says that the TCP connection behind the stream was reset (8.5).
const NO_ERROR = 0x0;
const REFUSED_STREAM = 0x7;
const CANCEL = 0x8;
const CONNECT_ERROR = 0xa;
const ENHANCE_YOUR_CALM = 0xb;

/**
 * ```
 * server: connecting ──socket connected──▶ open ──▶ ended
 * client: requested ──────2xx response───▶ open ──▶ ended
 * ```
 */
export type StreamPhase = 'connecting' | 'requested' | 'open' | 'ended';

/** How long the application's socket may take to connect, and a CONNECT to be answered. */
const CONNECT_DEADLINE_MS = 10_000;
const RESPONSE_DEADLINE_MS = 20_000;
/**
 * How long an application may take nothing of what is left when both sides have ended. The tunnel's windows bound
 * the memory, but each such stream takes a place in the tunnel that its peer can't free any more.
 */
const FINISHED_STALL_MS = 300_000;
/** Largest single read of an application's bytes; see the reactor's batching figures. */
const BATCH_BYTES_MAX = 1_032_192;
const READS_PER_EVENT = 2;

/** Told of the life of one stream. Called synchronously. */
export interface StreamObserver {
  /** What waits for the application counts in it. */
  readonly waitingBytes?: ByteBudget;
  /** Client: the response to CONNECT. A returned text refuses it and ends the relay. */
  onResponse(headers: readonly Header[]): string | undefined;
  /** Server: the application's socket is connected; answer 2xx now. */
  onConnected(): void;
  /**
   * Client: the peer has not looked at the request, so that it may be made again elsewhere (RFC 9113 section 8.7).
   * True: the observer takes the descriptor back, of which nothing was read, and this relay is over without
   * `onRelayEnd`. Otherwise, or without this method, the request has failed.
   */
  onRequestRefused?(): boolean;
  /**
   * The tunnel is gone and all that is left is for the application to read: `rest` has the descriptor now, and is
   * to be started. This relay is over; `rest` tells the end.
   */
  onTunnelOutlived(rest: Leftover): void;
  /** Once. The socket is closed and the stream reset or ended already, except a server's stream that was not answered. */
  onRelayEnd(end: StreamEnd): void;
}

export interface StreamRelayState {
  readonly streamId: number;
  readonly phase: 'connecting' | 'requested' | 'open';
  /** Waits to be written to the application's socket. */
  readonly pending: Uint8Array;
  readonly appEnded: boolean;
  readonly peerEnded: boolean;
  readonly finSent: boolean;
  readonly toTunnel: number;
  readonly fromTunnel: number;
}

/**
 * Carries bytes between an application's socket and one stream of a tunnel, both ways, each to its own end.
 * A full tunnel stops the reading of the socket; a slow socket holds back the stream's credit.
 */
export class StreamRelay implements EventHandler, StreamUser, Timer {
  readonly fd: number;
  readonly tunnel: Tunnel;
  readonly stream: Http2Stream;
  phase: StreamPhase;
  /** Bytes carried since the start, by direction. */
  toTunnel = 0;
  fromTunnel = 0;

  readonly #loop: Loop;
  readonly #observer: StreamObserver;
  #pending: PendingBytes;
  /** The application has sent FIN, and END_STREAM is sent. */
  #appEnded = false;
  /** END_STREAM has come. */
  #peerEnded = false;
  /** ... and FIN has gone to the application. */
  #finSent = false;
  /** The tunnel has no room for us now; onStreamRoom() will come. */
  #stalled = false;
  #batch = BATCH_BYTES_MIN;

  /** Takes over `fd`. The stream's `owner` becomes this relay. */
  constructor(
    loop: Loop,
    tunnel: Tunnel,
    stream: Http2Stream,
    ends: { readonly fd: number; readonly phase: 'connecting' | 'requested' },
    observer: StreamObserver,
  ) {
    this.#loop = loop;
    this.tunnel = tunnel;
    this.stream = stream;
    this.fd = ends.fd;
    this.phase = ends.phase;
    this.#observer = observer;
    this.#pending = new PendingBytes(observer.waitingBytes);
    stream.owner = this;
  }

  static restore(
    loop: Loop,
    tunnel: Tunnel,
    stream: Http2Stream,
    state: StreamRelayState,
    fd: number,
    observer: StreamObserver,
  ): StreamRelay {
    const phase = state.phase === 'open' ? 'requested' : state.phase;
    const relay = new StreamRelay(loop, tunnel, stream, { fd, phase }, observer);
    relay.phase = state.phase;
    relay.#pending = PendingBytes.restore(state.pending, observer.waitingBytes);
    relay.#appEnded = state.appEnded;
    relay.#peerEnded = state.peerEnded;
    relay.#finSent = state.finSent;
    relay.toTunnel = state.toTunnel;
    relay.fromTunnel = state.fromTunnel;
    return relay;
  }

  /** Begins (or, after a hand-over, goes on) to serve. */
  start(): void {
    if (this.phase === 'connecting') {
      this.#loop.timers.schedule(this, this.#loop.nowMs + CONNECT_DEADLINE_MS);
    } else if (this.phase === 'requested') {
      this.#loop.timers.schedule(this, this.#loop.nowMs + RESPONSE_DEADLINE_MS);
    }
    this.#stalled = false;
    this.#awaitReader();
    this.#update();
  }

  freeze(): void {
    this.#loop.remove(this);
    this.#loop.timers.cancel(this);
  }

  export(): StreamRelayState {
    return {
      streamId: this.stream.id,
      phase: this.phase as 'connecting' | 'requested' | 'open',
      pending: this.#pending.export(),
      appEnded: this.#appEnded,
      peerEnded: this.#peerEnded,
      finSent: this.#finSent,
      toTunnel: this.toTunnel,
      fromTunnel: this.fromTunnel,
    };
  }

  /** Another process has it: closes our descriptor and forgets the stream. */
  release(): void {
    this.phase = 'ended';
    this.freeze();
    this.#pending.clear();
    closeSocket(this.fd);
  }

  /** Cuts both sides: RST to the application, RST_STREAM to the peer. The observer is not called. */
  abort(code: number = CANCEL): void {
    if (this.phase === 'ended') return;
    this.#close(true);
    this.tunnel.reset(this.stream, code);
  }

  // --- EventHandler: the application's socket

  onEvents(events: number): void {
    if (this.phase === 'connecting') {
      this.#onConnected();
      return;
    }
    if ((events & WRITABLE) !== 0 && !this.#drain()) return;
    if ((events & (READABLE | PEER_FINISHED | FAILED | HUNG_UP)) !== 0) this.#pump();
  }

  onFault(error: unknown): void {
    const reason = error instanceof Error ? error.message : 'internal error';
    this.#fail({ kind: 'failed', stage: 'internal', reason }, CANCEL);
  }

  onTimer(): void {
    if (this.phase === 'open') {
      const stallS = FINISHED_STALL_MS / 1_000;
      const reason = `application read nothing for ${stallS} s after the stream's end`;
      this.#fail({ kind: 'failed', stage: 'tunnel', reason }, CANCEL);
    } else if (this.phase === 'connecting') {
      const reason = `no answer for ${CONNECT_DEADLINE_MS / 1_000} s`;
      this.#endDial(reason);
    } else if (this.phase === 'requested') {
      const reason = `no response to CONNECT for ${RESPONSE_DEADLINE_MS / 1_000} s`;
      this.#fail({ kind: 'failed', stage: 'response', reason }, CANCEL);
    }
  }

  // --- StreamUser: the tunnel

  onStreamHeaders(headers: readonly Header[], endStream: boolean): void {
    if (this.phase === 'requested') {
      // Interim responses (RFC 9110 section 15.2) decide nothing.
      if (headers.some(([name, value]) => name === ':status' && value.startsWith('1'))) return;
      const refusal = this.#observer.onResponse(headers);
      if (refusal !== undefined) {
        this.#fail({ kind: 'failed', stage: 'response', reason: refusal }, NO_ERROR);
        return;
      }
      this.phase = 'open';
      this.#loop.timers.cancel(this);
      this.#update();
    }
    // Trailers carry nothing for a TCP connection.
    if (endStream) this.onStreamEnd();
  }

  onStreamData(slab: Slab, start: number, end: number): void {
    const length = end - start;
    this.fromTunnel += length;
    // Before the application's socket is connected, bytes wait; the stream's window bounds them.
    if (this.#pending.length > 0 || this.phase !== 'open') {
      this.#keep(slab, start, end);
      return;
    }
    const sent = sendFrom(this.fd, slab, start, length);
    if (sent === length) {
      this.tunnel.consume(this.stream, length);
      return;
    }
    if (sent < 0 && sent !== -EAGAIN) {
      this.#socketFailed(sent);
      return;
    }
    const taken = Math.max(sent, 0);
    if (taken > 0) this.tunnel.consume(this.stream, taken);
    this.#keep(slab, start + taken, end);
    this.#update();
  }

  onStreamEnd(): void {
    if (this.phase === 'ended' || this.#peerEnded) return;
    this.#peerEnded = true;
    this.#awaitReader();
    this.#finishIfPeerEnded();
    this.#endIfDone();
  }

  onStreamReset(code: number, byPeer: boolean): void {
    if (this.phase === 'ended') return;
    if (byPeer && code === REFUSED_STREAM && this.phase === 'requested') {
      this.#requestRefused();
      return;
    }
    if (byPeer && this.phase === 'requested') {
      const reason = `the peer reset the request without an answer (HTTP/2 code ${code})`;
      this.#close(true);
      this.#observer.onRelayEnd({ kind: 'failed', stage: 'response', reason });
      return;
    }
    // The peer has all that we sent and has said that it will send no more: an orderly end.
    const orderly = byPeer && code === NO_ERROR && this.#peerEnded && this.#pending.length === 0;
    this.#close(!orderly);
    if (byPeer && (code === NO_ERROR || code === CANCEL || code === CONNECT_ERROR)) {
      const closedBy = `peer reset the stream (${code})`;
      this.#observer.onRelayEnd(orderly ? { kind: 'complete' } : { kind: 'complete', closedBy });
      return;
    }
    const reason = `stream reset ${byPeer ? 'by the peer' : 'for a protocol error'} (HTTP/2 code ${code})`;
    this.#observer.onRelayEnd({ kind: 'failed', stage: 'tunnel', reason });
  }

  onStreamRoom(): void {
    if (this.phase !== 'open' || !this.#stalled) return;
    this.#stalled = false;
    this.#update();
  }

  onTunnelGone(tunnelEnd: TunnelEnd): void {
    if (this.phase === 'ended') return;
    if (this.phase === 'open' && this.#appEnded && this.#peerEnded) {
      // All that the peer sent is here: the application gets it, without the tunnel.
      const { toTunnel, fromTunnel } = this;
      const carried = { pending: this.#pending, toTunnel, fromTunnel };
      const rest = new Leftover(this.#loop, this.fd, carried, this.#observer);
      this.#pending = new PendingBytes();
      this.#detach();
      this.#observer.onTunnelOutlived(rest);
      return;
    }
    this.#close(true);
    const { reason } = tunnelEnd;
    this.#observer.onRelayEnd({ kind: 'failed', stage: 'tunnel', reason, tunnelEnd });
  }

  // ---

  /** Until the response nothing is read from the application: it has lost nothing. */
  #requestRefused(): void {
    this.#detach();
    if (this.#observer.onRequestRefused?.() === true) return;
    setLinger0(this.fd);
    closeSocket(this.fd);
    const reason = 'the peer takes no more streams (HTTP/2 REFUSED_STREAM)';
    this.#observer.onRelayEnd({ kind: 'failed', stage: 'response', reason });
  }

  #onConnected(): void {
    const error = socketError(this.fd);
    if (error !== 0) {
      this.#endDial(errnoText(error));
      return;
    }
    this.phase = 'open';
    this.#loop.timers.cancel(this);
    this.#observer.onConnected();
    this.#drain();
  }

  /** The application can't be reached; the observer answers on the stream. */
  #endDial(reason: string): void {
    this.#close(true);
    this.#observer.onRelayEnd({ kind: 'failed', stage: 'dial', reason });
  }

  /** From the application's socket into the tunnel's staging slab, in place. */
  #pump(): void {
    const { tunnel, stream } = this;
    for (let round = 0; round < READS_PER_EVENT; round++) {
      if (this.phase !== 'open' || this.#appEnded || this.#stalled) break;
      const room = tunnel.roomFor(stream, this, this.#batch);
      if (room === 0) {
        this.#stalled = true;
        break;
      }
      const received = receiveInto(this.fd, tunnel.stagingSlab, tunnel.end + 9, room);
      if (received === -EAGAIN) break;
      if (received < 0) {
        this.#socketFailed(received);
        return;
      }
      this.#appEnded = received === 0;
      tunnel.commit(stream, received, this.#appEnded);
      if (this.#appEnded) {
        this.#awaitReader();
        break;
      }
      this.toTunnel += received;
      if (received < room) break;
      if (room === this.#batch) this.#batch = Math.min(this.#batch * 2, BATCH_BYTES_MAX);
    }
    this.#update();
    this.#endIfDone();
  }

  /** Writes what waits for the application; false when the relay is over. */
  #drain(): boolean {
    const sent = this.#pending.drainTo(this.fd);
    if (sent < 0) {
      this.#socketFailed(sent);
      return false;
    }
    if (sent > 0) {
      this.#giveCredit();
      this.#awaitReader();
    }
    this.#finishIfPeerEnded();
    this.#update();
    this.#endIfDone();
    return this.phase === 'open';
  }

  /** Keeps for the application what its socket has not taken. */
  #keep(slab: Slab, start: number, end: number): void {
    this.#pending.append(slab.bytes, start, end);
    if (!this.#pending.overflows) return;
    const reason = 'the application reads too slowly, and too much waits for others too';
    this.#fail({ kind: 'failed', stage: 'tunnel', reason }, ENHANCE_YOUR_CALM);
  }

  /** For what the application has taken, unless too much waits: then when it has taken everything. */
  #giveCredit(): void {
    if (this.#observer.waitingBytes?.withholdsFrom(this.#pending.heldBytes) === true) return;
    const taken = this.stream.unconsumed - this.#pending.length;
    if (taken > 0) this.tunnel.consume(this.stream, taken);
  }

  /** Both sides have ended, and all that is left is for the application to read: not for ever. */
  #awaitReader(): void {
    if (!this.#appEnded || !this.#peerEnded || this.#pending.length === 0) return;
    this.#loop.timers.schedule(this, this.#loop.nowMs + FINISHED_STALL_MS);
  }

  #finishIfPeerEnded(): void {
    if (!this.#peerEnded || this.#finSent || this.#pending.length > 0 || this.phase !== 'open') {
      return;
    }
    this.#finSent = true;
    shutdownWrite(this.fd);
  }

  #endIfDone(): void {
    if (this.phase !== 'open' || !this.#appEnded || !this.#finSent) return;
    this.#close(false);
    this.tunnel.forget(this);
    this.#observer.onRelayEnd({ kind: 'complete' });
  }

  /** The application's connection broke: its peer at the far end sees a reset as well. */
  #socketFailed(error: number): void {
    this.#close(true);
    this.tunnel.reset(this.stream, CONNECT_ERROR);
    this.#observer.onRelayEnd(socketFailure(error));
  }

  #fail(end: StreamEnd, code: number): void {
    if (this.phase === 'ended') return;
    this.#close(true);
    this.tunnel.reset(this.stream, code);
    this.#observer.onRelayEnd(end);
  }

  #detach(): void {
    this.phase = 'ended';
    this.#loop.remove(this);
    this.#loop.timers.cancel(this);
    this.#pending.clear();
  }

  #close(reset: boolean): void {
    this.#detach();
    if (reset) setLinger0(this.fd);
    closeSocket(this.fd);
  }

  /** Asks the loop for exactly what can be used now; with nothing to want the socket leaves the loop. */
  #update(): void {
    if (this.phase === 'ended') return;
    let interest = 0;
    if (this.phase === 'connecting') interest = WRITABLE;
    else if (this.phase === 'open') {
      if (this.#pending.length > 0) interest |= WRITABLE;
      if (!this.#appEnded && !this.#stalled) interest |= READABLE;
    }
    if (interest === 0) this.#loop.remove(this);
    else if (this.#loop.has(this)) this.#loop.setInterest(this, interest);
    else this.#loop.add(this, interest);
  }
}
