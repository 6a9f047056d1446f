import type { Header } from '#codec/http2/field.ts';
import type { Http2Stream } from '#codec/http2/stream-state.ts';
import { PendingBytes } from '#reactor/pending.ts';

import type { Http2Session } from './http2-session.ts';

/** One side of an exchange as a stream of an HTTP/2 session: what the two roles share. */
export abstract class Http2End {
  protected readonly session: Http2Session;
  protected readonly stream: Http2Stream;
  /** Neither ended by both sides nor reset. */
  protected isOpen = true;
  readonly #pending: PendingBytes;
  #finishing = false;
  #trailers: readonly Header[] | undefined;
  #finished = false;
  #peerFinished: boolean;

  /** The stream's `owner` becomes this. `peerFinished`: END_STREAM has come already. */
  constructor(session: Http2Session, stream: Http2Stream, peerFinished: boolean) {
    this.#peerFinished = peerFinished;
    this.session = session;
    this.stream = stream;
    this.#pending = new PendingBytes(session.waiting);
    stream.owner = this;
  }

  get queued(): number {
    return this.#pending.length;
  }

  get overflows(): boolean {
    return this.#pending.overflows;
  }

  body(bytes: Buffer, start: number, end: number): void {
    if (!this.isOpen || this.#finishing) return;
    let from = start;
    if (this.#pending.length === 0) {
      from += this.session.sendData(this.stream, this, bytes, start, end);
    }
    if (from < end) this.#pending.append(bytes, from, end);
  }

  finish(trailers: readonly Header[] | undefined): void {
    if (!this.isOpen || this.#finishing) return;
    this.#finishing = true;
    this.#trailers = trailers;
    this.#sendEnd();
  }

  consume(length: number): void {
    this.session.consume(this.stream, length);
  }

  protected reset(code: number): void {
    if (!this.isOpen) return;
    this.#leave();
    this.session.reset(this.stream, code);
  }

  /** Headers went out with END_STREAM. */
  protected sentAll(): void {
    this.#finishing = true;
    this.#finished = true;
    this.#closeIfDone();
  }

  // --- From the session

  abstract onHeaders(headers: readonly Header[], endStream: boolean): void;

  onData(bytes: Buffer, start: number, end: number, endStream: boolean): void {
    if (!this.isOpen) {
      this.consume(end - start);
      return;
    }
    if (start < end) this.received(bytes, start, end);
    if (endStream) this.peerFinished(undefined);
  }

  /** Comes now and then, so that what does not move any more is noticed. */
  look(_nowMs: number): void {
    // Only a client's end has somebody who looks.
  }

  onRoom(): void {
    if (!this.isOpen) return;
    const before = this.#pending.length;
    this.#sendPending();
    if (this.#pending.length > 0) return;
    this.#sendEnd();
    if (before > 0 && this.isOpen) this.drained();
  }

  onReset(code: number, byPeer: boolean): void {
    if (!this.isOpen) return;
    this.#leave();
    this.wasReset(code, byPeer);
  }

  onSessionGone(reason: string): void {
    if (!this.isOpen) return;
    this.#leave();
    this.sessionGone(reason);
  }

  /** END_STREAM has come. */
  protected peerFinished(trailers: readonly Header[] | undefined): void {
    if (this.#peerFinished) return;
    this.#peerFinished = true;
    this.ended(trailers);
    this.#closeIfDone();
  }

  protected abstract received(bytes: Buffer, start: number, end: number): void;
  protected abstract ended(trailers: readonly Header[] | undefined): void;
  protected abstract drained(): void;
  protected abstract wasReset(code: number, byPeer: boolean): void;
  protected abstract sessionGone(reason: string): void;

  // ---

  #sendPending(): void {
    // At most what one DATA frame carries: what does not fit stays where it is.
    const piece = SCRATCH;
    while (this.#pending.length > 0) {
      const length = this.#pending.peekTo(piece, 0, piece.length);
      const sent = this.session.sendData(this.stream, this, piece, 0, length);
      this.#pending.drop(sent);
      if (sent < length) return;
    }
  }

  #sendEnd(): void {
    if (!this.#finishing || this.#finished || this.#pending.length > 0) return;
    this.#finished = true;
    if (this.#trailers === undefined || this.#trailers.length === 0) {
      this.session.endStream(this.stream);
    } else this.session.sendHeaders(this.stream, this.#trailers, true);
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (this.#finished && this.#peerFinished && this.isOpen) this.#leave();
  }

  #leave(): void {
    this.isOpen = false;
    this.#pending.clear();
    this.session.forget(this);
  }
}

/** For one call at a time. */
const SCRATCH = Buffer.allocUnsafeSlow(16_384);
