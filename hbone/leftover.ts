import type { ByteBudget } from '#reactor/byte-budget.ts';
import { type EventHandler, type Loop, WRITABLE } from '#reactor/loop.ts';
import { PendingBytes } from '#reactor/pending.ts';
import { closeSocket, setLinger0, shutdownWrite } from '#reactor/socket.ts';
import type { Timer } from '#reactor/timers.ts';

import { type StreamEnd, socketFailure } from './stream-end.ts';

/**
 * How long an application may take nothing of what is left after its tunnel is gone: nothing else bounds the
 * memory that such ends hold together.
 */
const STALL_MS = 60_000;

/** A leftover for another process. The descriptor travels beside it. */
export interface LeftoverState {
  readonly pending: Uint8Array;
  readonly toTunnel: number;
  readonly fromTunnel: number;
}

/** Told of the end by whoever made it; called synchronously, once, with everything closed already. */
export interface LeftoverObserver {
  /** What waits for the application counts in it. */
  readonly waitingBytes?: ByteBudget;
  onRelayEnd(end: StreamEnd): void;
}

/**
 * What is left of a relay when its stream has ended in both directions, its tunnel is gone, and the application
 * has not taken everything yet: bytes to give it, then FIN.
 */
export class Leftover implements EventHandler, Timer {
  readonly fd: number;
  /** Bytes that the relay carried, by direction. */
  readonly toTunnel: number;
  readonly fromTunnel: number;
  readonly #loop: Loop;
  readonly #pending: PendingBytes;
  readonly #observer: LeftoverObserver;
  #ended = false;

  /** Takes over `fd` and `pending`. Nothing is served until {@link start}. */
  constructor(
    loop: Loop,
    fd: number,
    rest: {
      readonly pending: PendingBytes;
      readonly toTunnel: number;
      readonly fromTunnel: number;
    },
    observer: LeftoverObserver,
  ) {
    this.#loop = loop;
    this.fd = fd;
    this.#pending = rest.pending;
    this.toTunnel = rest.toTunnel;
    this.fromTunnel = rest.fromTunnel;
    this.#observer = observer;
  }

  /** Continues another process's leftover, frozen until {@link start}. */
  static restore(
    loop: Loop,
    state: LeftoverState,
    fd: number,
    observer: LeftoverObserver,
  ): Leftover {
    const pending = PendingBytes.restore(state.pending, observer.waitingBytes);
    return new Leftover(loop, fd, { ...state, pending }, observer);
  }

  /** Begins (or, after a hand-over, goes on) to serve. */
  start(): void {
    if (this.#ended) return;
    this.#awaitReader();
    if (!this.#loop.has(this)) this.#loop.add(this, WRITABLE);
  }

  freeze(): void {
    this.#loop.remove(this);
    this.#loop.timers.cancel(this);
  }

  export(): LeftoverState {
    const { toTunnel, fromTunnel } = this;
    return { pending: this.#pending.export(), toTunnel, fromTunnel };
  }

  /** Another process has it: closes our descriptor. */
  release(): void {
    this.#close();
  }

  /** Cuts it: RST to the application. The observer is not called. */
  abort(): void {
    if (this.#ended) return;
    setLinger0(this.fd);
    this.#close();
  }

  onEvents(): void {
    const sent = this.#pending.drainTo(this.fd);
    if (sent < 0) {
      this.#end(socketFailure(sent));
    } else if (this.#pending.length > 0) {
      if (sent > 0) this.#awaitReader();
    } else {
      shutdownWrite(this.fd);
      this.#close();
      this.#observer.onRelayEnd({ kind: 'complete' });
    }
  }

  onFault(error: unknown): void {
    const reason = error instanceof Error ? error.message : 'internal error';
    this.#end({ kind: 'failed', stage: 'internal', reason });
  }

  onTimer(): void {
    const reason = `application read nothing for ${STALL_MS / 1_000} s after the tunnel's end`;
    this.#end({ kind: 'failed', stage: 'tunnel', reason });
  }

  // ---

  #awaitReader(): void {
    this.#loop.timers.schedule(this, this.#loop.nowMs + STALL_MS);
  }

  #end(end: StreamEnd): void {
    if (this.#ended) return;
    this.abort();
    this.#observer.onRelayEnd(end);
  }

  #close(): void {
    this.#ended = true;
    this.freeze();
    this.#pending.clear();
    closeSocket(this.fd);
  }
}
