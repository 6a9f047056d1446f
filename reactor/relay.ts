import { EAGAIN, errnoName, errnoText } from '#linux/libc.ts';

import {
  type EventHandler,
  FAILED,
  HUNG_UP,
  type Loop,
  PEER_FINISHED,
  READABLE,
  WRITABLE,
} from './loop.ts';
import type { Slab } from './memory.ts';
import { PendingBytes } from './pending.ts';
import {
  closeSocket,
  isPeerGone,
  receiveInto,
  sendFrom,
  setLinger0,
  shutdownWrite,
  socketError,
} from './socket.ts';
import type { Timer } from './timers.ts';

/** How carrying bytes between two ends came to an end. */
export type RelayEnd =
  /** Both directions have ended. `closedBy` says who reset the connection instead of ending it. */
  | { readonly kind: 'complete'; readonly closedBy?: string }
  /** `dialing`: the far socket could not be connected, `errno` says why. */
  | { readonly kind: 'failed'; readonly dialing: boolean; readonly reason: string };

/** Told of a relay's end by whoever made it; called synchronously, once. */
export interface RelayObserver {
  /** Everything is closed already. */
  onRelayEnd(end: RelayEnd): void;
}

/** First and largest read: small while a stream is interactive, so that no other one waits long. */
export const BATCH_BYTES_MIN = 16_384;
const BATCH_BYTES_MAX = 262_144;
/** How long the far socket may take to connect. */
const CONNECT_DEADLINE_MS = 10_000;
/** Reads in a row before the other connections of this thread get their turn. */
const READS_PER_EVENT = 2;

/** One socket of a relay, as data. `pending` waits to be written to this socket. */
export interface RelaySideState {
  readonly pending: Uint8Array;
  readonly readEnded: boolean;
  readonly finSent: boolean;
  readonly received: number;
}

export interface SocketRelayState {
  readonly connecting: boolean;
  readonly downstream: RelaySideState;
  readonly upstream: RelaySideState;
}

/**
 * Carries bytes between two sockets, both ways, each to its own end: half-close is passed on, a slow side
 * stops the reading of the other, and nothing is buffered beyond one read.
 */
export class SocketRelay implements Timer {
  readonly downstream: RelaySide;
  readonly upstream: RelaySide;
  readonly loop: Loop;
  /** The thread's receive memory; used only within one call. */
  readonly scratch: Slab;
  readonly #observer: RelayObserver;
  #ended = false;

  /** Takes over both descriptors. `state` continues a relay of another process. */
  constructor(
    loop: Loop,
    scratch: Slab,
    ends: { readonly downstreamFd: number; readonly upstreamFd: number },
    observer: RelayObserver,
    state?: SocketRelayState,
  ) {
    this.loop = loop;
    this.scratch = scratch;
    this.#observer = observer;
    this.downstream = new RelaySide(this, ends.downstreamFd, false, state?.downstream);
    this.upstream = new RelaySide(
      this,
      ends.upstreamFd,
      state?.connecting ?? true,
      state?.upstream,
    );
    this.downstream.other = this.upstream;
    this.upstream.other = this.downstream;
  }

  /** Begins (or, after a hand-over, goes on) to serve. */
  start(): void {
    if (this.upstream.connecting) {
      this.loop.timers.schedule(this, this.loop.nowMs + CONNECT_DEADLINE_MS);
    }
    this.downstream.update();
    this.upstream.update();
  }

  /** No I/O until {@link start} is called again. */
  freeze(): void {
    this.loop.remove(this.downstream);
    this.loop.remove(this.upstream);
    this.loop.timers.cancel(this);
  }

  export(): SocketRelayState {
    return {
      connecting: this.upstream.connecting,
      downstream: this.downstream.export(),
      upstream: this.upstream.export(),
    };
  }

  /** Another process has it all: forgets it and closes our descriptors without a word to the peers. */
  release(): void {
    this.#ended = true;
    this.freeze();
    closeSocket(this.downstream.fd);
    closeSocket(this.upstream.fd);
  }

  /** Cuts both connections with RST. The observer is not called. */
  abort(): void {
    if (this.#ended) return;
    setLinger0(this.downstream.fd);
    setLinger0(this.upstream.fd);
    this.release();
  }

  /** The far socket is connected. */
  opened(): void {
    this.loop.timers.cancel(this);
  }

  onTimer(): void {
    if (this.#ended) return;
    this.abort();
    const reason = `no answer for ${CONNECT_DEADLINE_MS / 1_000} s`;
    this.#observer.onRelayEnd({ kind: 'failed', dialing: true, reason });
  }

  /** Ends the relay when both directions have. */
  endIfDone(): void {
    if (this.#ended || !this.downstream.done || !this.upstream.done) return;
    this.release();
    this.#observer.onRelayEnd({ kind: 'complete' });
  }

  /** One socket failed with -errno: the other one's peer sees a reset too. */
  fail(side: RelaySide, error: number): void {
    if (this.#ended) return;
    this.abort();
    if (!side.connecting && isPeerGone(error)) {
      const which = side === this.downstream ? 'downstream' : 'upstream';
      const closedBy = `${which} reset (${errnoName(error)})`;
      this.#observer.onRelayEnd({ kind: 'complete', closedBy });
      return;
    }
    const reason = errnoText(error);
    this.#observer.onRelayEnd({ kind: 'failed', dialing: side.connecting, reason });
  }

  /** A fault of ours, not of a peer: of the timer, or of one of the sides. */
  onFault(error: unknown): void {
    if (this.#ended) return;
    this.abort();
    const reason = error instanceof Error ? error.message : 'internal error';
    this.#observer.onRelayEnd({ kind: 'failed', dialing: false, reason });
  }
}

/** One of the two sockets: reads from itself, writes to the other. */
export class RelaySide implements EventHandler {
  readonly fd: number;
  other!: RelaySide;
  connecting: boolean;
  /** Bytes read from this socket since the start. */
  received: number;
  readonly #relay: SocketRelay;
  readonly #pending: PendingBytes;
  #readEnded: boolean;
  #finSent: boolean;
  #batch = BATCH_BYTES_MIN;

  constructor(relay: SocketRelay, fd: number, connecting: boolean, state?: RelaySideState) {
    this.#relay = relay;
    this.fd = fd;
    this.connecting = connecting;
    this.received = state?.received ?? 0;
    this.#pending = PendingBytes.restore(state?.pending ?? new Uint8Array());
    this.#readEnded = state?.readEnded ?? false;
    this.#finSent = state?.finSent ?? false;
  }

  get done(): boolean {
    return this.#readEnded && this.#finSent;
  }

  export(): RelaySideState {
    return {
      pending: this.#pending.export(),
      readEnded: this.#readEnded,
      finSent: this.#finSent,
      received: this.received,
    };
  }

  /**
   * Asks the loop for exactly what can be used now. A socket from which nothing is wanted leaves the loop:
   * its errors and hang-ups would be reported without end.
   */
  update(): void {
    const { loop } = this.#relay;
    let interest = 0;
    if (this.connecting || this.#pending.length > 0) interest |= WRITABLE;
    if (!this.#readEnded && !this.other.connecting && !this.connecting) {
      if (this.other.#pending.length === 0) interest |= READABLE;
    }
    if (interest === 0) loop.remove(this);
    else if (loop.has(this)) loop.setInterest(this, interest);
    else loop.add(this, interest);
  }

  onEvents(events: number): void {
    if (this.connecting) {
      this.#onConnected();
      return;
    }
    if ((events & WRITABLE) !== 0 && !this.#drain()) return;
    if ((events & (READABLE | PEER_FINISHED | FAILED | HUNG_UP)) !== 0) this.#read();
  }

  onFault(error: unknown): void {
    this.#relay.onFault(error);
  }

  #onConnected(): void {
    const error = socketError(this.fd);
    if (error !== 0) {
      this.#relay.fail(this, error);
      return;
    }
    this.connecting = false;
    this.#relay.opened();
    this.update();
    this.other.update();
  }

  /** Writes what waits; false when the relay is over. */
  #drain(): boolean {
    const sent = this.#pending.drainTo(this.fd);
    if (sent < 0) {
      this.#relay.fail(this, sent);
      return false;
    }
    if (this.#pending.length > 0) return true;
    this.#finishIfOtherEnded();
    this.update();
    this.other.update();
    this.#relay.endIfDone();
    return !this.done || !this.other.done;
  }

  #finishIfOtherEnded(): void {
    if (!this.other.#readEnded || this.#finSent || this.#pending.length > 0) return;
    this.#finSent = true;
    shutdownWrite(this.fd);
  }

  #read(): void {
    const { scratch } = this.#relay;
    for (let round = 0; round < READS_PER_EVENT; round++) {
      if (this.#readEnded || this.other.#pending.length > 0) break;
      const want = Math.min(this.#batch, scratch.size);
      const received = receiveInto(this.fd, scratch, 0, want);
      if (received === -EAGAIN) break;
      if (received < 0) {
        this.#relay.fail(this, received);
        return;
      }
      if (received === 0) {
        this.#readEnded = true;
        this.other.#finishIfOtherEnded();
        break;
      }
      this.received += received;
      if (!this.other.#write(scratch, received)) return;
      if (received < want) break;
      this.#batch = Math.min(this.#batch * 2, BATCH_BYTES_MAX);
    }
    this.update();
    this.other.update();
    this.#relay.endIfDone();
  }

  /** Sends now what the socket takes and keeps the rest; false when the relay is over. */
  #write(slab: Slab, length: number): boolean {
    const sent = sendFrom(this.fd, slab, 0, length);
    if (sent < 0 && sent !== -EAGAIN) {
      this.#relay.fail(this, sent);
      return false;
    }
    const taken = Math.max(sent, 0);
    if (taken < length) this.#pending.append(slab.bytes, taken, length);
    return true;
  }
}
