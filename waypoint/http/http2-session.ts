import { Http2Connection } from '#codec/http2/connection.ts';
import type { Http2Events } from '#codec/http2/events.ts';
import type { Header } from '#codec/http2/field.ts';
import type { Http2Output } from '#codec/http2/frame-writer.ts';
import type { Role } from '#codec/http2/options.ts';
import type { Http2Stream } from '#codec/http2/stream-state.ts';
import type { ByteBudget } from '#reactor/byte-budget.ts';
import type { Loop, TurnEnd } from '#reactor/loop.ts';
import type { Slab, SlabPool } from '#reactor/memory.ts';

import type { Channel, ChannelUser } from '../channel/channel.ts';
import type { Http2End } from './http2-end.ts';

/** What the HTTP sessions of a thread share. */
export interface SessionHost {
  readonly loop: Loop;
  /** Where frames are put together before they go to their channel: one slab per busy session. */
  readonly staging: SlabPool;
  /** What waits for peers counts in it. */
  readonly waiting: ByteBudget | undefined;
}

/** Room for the largest header block that we pass on, and the frames of a turn beside it. */
export const SESSION_STAGING_BYTES = 196_608;
/** Of one DATA frame: other streams get their turn in between. */
const DATA_BYTES_MAX = 16_384;
/** Bytes that one stream may send us before the other side of the proxy has taken them. */
const STREAM_WINDOW = 262_144;
const CONNECTION_WINDOW = 1_048_576;
/** Streams that a client may have open at once. */
const STREAMS_MAX = 1_000;

const noBytes = Buffer.alloc(0);

/** Told of the life of a session. */
export interface SessionOwner {
  /** Server: a request. The owner makes its {@link Http2End} before it returns, or resets the stream. */
  onSessionRequest(stream: Http2Stream, headers: readonly Header[], endStream: boolean): void;
  /** A stream has ended, or the peer's settings have come. */
  onSessionRoom(): void;
  /** The peer broke a rule of HTTP/2 that costs the connection. The end follows. */
  onSessionFault(reason: string): void;
  /** Once: no stream is open any more, and none can be. */
  onSessionEnd(reason: string): void;
}

/** An HTTP/2 connection (RFC 9113) on a channel. What its streams send in a turn goes out at the turn's end. */
export class Http2Session implements ChannelUser, Http2Events, Http2Output, TurnEnd {
  // The codec's output region.
  bytes: Buffer = noBytes;
  end = 0;

  readonly #channel: Channel;
  readonly #host: SessionHost;
  readonly #owner: SessionOwner;
  readonly #http2: Http2Connection;
  #staging: Slab | undefined;
  #turnEndAsked = false;
  #ended = false;
  #draining = false;
  /** Ends that wait for room on the whole connection, in order. */
  readonly #waiting = new Set<Http2End>();

  constructor(
    role: Role,
    host: SessionHost,
    open: (user: ChannelUser) => Channel,
    owner: SessionOwner,
  ) {
    this.#host = host;
    this.#owner = owner;
    this.#http2 = new Http2Connection(
      role,
      {
        initialWindowSize: STREAM_WINDOW,
        connectionWindow: CONNECTION_WINDOW,
        maxFrameSize: DATA_BYTES_MAX,
        maxConcurrentStreams: STREAMS_MAX,
        huffman: false,
      },
      this,
      this,
    );
    this.#channel = open(this);
    this.#http2.start();
  }

  get isOpen(): boolean {
    return !this.#ended;
  }

  get waiting(): ByteBudget | undefined {
    return this.#host.waiting;
  }

  /** Comes now and then. */
  look(nowMs: number): void {
    for (const stream of this.#http2.streams()) {
      (stream.owner as Http2End | undefined)?.look(nowMs);
    }
  }

  get streamCount(): number {
    return this.#http2.streamCount;
  }

  /** Streams that the peer takes at once; undefined until it has said so. */
  get peerStreamsMax(): number | undefined {
    return this.#http2.peerSettingsSeen ? this.#http2.peerMaxConcurrentStreams : undefined;
  }

  /** May one more request be put on it? */
  get hasRoom(): boolean {
    return !this.#ended && !this.#draining && !this.#isBlocked && this.#http2.canOpenStream();
  }

  /** Sends a request; undefined when there is no room. The caller makes its {@link Http2End} at once. */
  openStream(headers: readonly Header[], endStream: boolean): Http2Stream | undefined {
    return this.hasRoom ? this.#http2.openStream(headers, endStream) : undefined;
  }

  /** Sends a response, interim responses before it, or trailers. */
  sendHeaders(stream: Http2Stream, headers: readonly Header[], endStream: boolean): void {
    if (!this.#ended) this.#http2.sendHeaders(stream, headers, endStream);
  }

  /** Sends what there is room for: how many bytes. Less than all: `end` is told when there is room again. */
  sendData(stream: Http2Stream, end: Http2End, bytes: Buffer, from: number, to: number): number {
    let at = from;
    while (at < to) {
      const room = this.#roomFor(stream, end, to - at);
      if (room === 0) break;
      bytes.copy(this.bytes, this.end + 9, at, at + room);
      this.#http2.commitData(stream, room, false);
      at += room;
    }
    return at - from;
  }

  /** END_STREAM without anything else. */
  endStream(stream: Http2Stream): void {
    if (!this.#ended && this.reserve(9)) this.#http2.commitData(stream, 0, true);
  }

  consume(stream: Http2Stream, length: number): void {
    if (!this.#ended) this.#http2.consume(stream, length);
  }

  reset(stream: Http2Stream, code: number): void {
    if (this.#ended) return;
    this.#http2.reset(stream, code);
    this.#streamGone();
  }

  /** A stream's user is done with it. */
  forget(end: Http2End): void {
    this.#waiting.delete(end);
    this.#streamGone();
  }

  /** Takes no new streams, and ends with the last one. */
  drain(): void {
    if (this.#ended || this.#draining) return;
    this.#draining = true;
    this.#http2.goaway(0);
    this.#host.loop.atTurnEnd(this);
  }

  /** Cuts the connection. The users of its streams and its owner are told. */
  close(reason: string): void {
    if (this.#ended) return;
    this.#channel.abort();
    this.#gone(reason);
  }

  // --- ChannelUser

  onBytes(bytes: Buffer, start: number, end: number): void {
    // Bytes of DATA count twice: for the stream's window in here, and for the channel's. The channel gets all its
    // credit back at once, as what waits is bounded by the windows in here.
    this.#channel.consume(end - start);
    this.#http2.receive(bytes, start, end, this.#host.loop.nowMs);
  }

  onFinished(): void {
    if (this.#ended) return;
    const reason = this.streamCount > 0 ? 'the peer has closed the connection' : 'closed';
    this.#flush();
    this.#channel.finish();
    this.#gone(reason);
  }

  onDrained(): void {
    this.#flush();
    this.#http2.flushCredit();
    this.#resumeWaiting();
  }

  onBroken(reason: string): void {
    this.#gone(reason);
  }

  // --- Http2Output

  reserve(length: number): boolean {
    if (this.#ended) return false;
    if (this.#staging === undefined) this.#acquireStaging();
    if (this.end + length > this.bytes.length && !this.#isBlocked) this.#flush();
    if (this.#staging === undefined) this.#acquireStaging();
    if (!this.#turnEndAsked) {
      this.#turnEndAsked = true;
      this.#host.loop.atTurnEnd(this);
    }
    return this.end + length <= this.bytes.length;
  }

  onTurnEnd(): void {
    this.#turnEndAsked = false;
    if (this.#ended) return;
    if (!this.#isBlocked) this.#flush();
    if (this.#draining && this.streamCount === 0 && this.end === 0) {
      this.#channel.finish();
      this.#gone('drained');
    }
  }

  onFault(error: unknown): void {
    this.close(`internal error: ${error instanceof Error ? error.message : String(error)}`);
  }

  // --- Http2Events

  onHeaders(stream: Http2Stream, headers: readonly Header[], endStream: boolean): void {
    const end = stream.owner as Http2End | undefined;
    if (end === undefined) this.#owner.onSessionRequest(stream, headers, endStream);
    else end.onHeaders(headers, endStream);
  }

  // oxlint-disable-next-line max-params -- the codec's form: an object would be an allocation each
  onData(stream: Http2Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    const user = stream.owner as Http2End | undefined;
    if (user === undefined) this.#http2.consume(stream, end - start);
    else user.onData(bytes, start, end, endStream);
  }

  onReset(stream: Http2Stream, code: number, byPeer: boolean): void {
    const end = stream.owner as Http2End | undefined;
    if (end !== undefined) {
      this.#waiting.delete(end);
      end.onReset(code, byPeer);
    }
    this.#streamGone();
  }

  onSendWindow(stream: Http2Stream | undefined): void {
    if (stream === undefined) this.#resumeWaiting();
    else (stream.owner as Http2End | undefined)?.onRoom();
  }

  onPeerSettings(): void {
    this.#owner.onSessionRoom();
  }

  onPong(): void {
    // None is asked for: the channel has signs of life of its own.
  }

  onGoaway(): void {
    this.#draining = true;
    this.#host.loop.atTurnEnd(this);
  }

  onConnectionError(code: number, reason: string): void {
    this.#flush();
    this.#channel.finish();
    const fault = `HTTP/2 error ${code}: ${reason}`;
    this.#owner.onSessionFault(fault);
    this.#gone(fault);
  }

  // ---

  get #isBlocked(): boolean {
    return this.#channel.queued > 0;
  }

  #roomFor(stream: Http2Stream, end: Http2End, want: number): number {
    if (this.#ended) return 0;
    if (this.#isBlocked) {
      this.#waiting.add(end);
      return 0;
    }
    const allowed = Math.min(want, DATA_BYTES_MAX, this.#http2.dataAllowance(stream));
    if (allowed <= 0) {
      // A stream's own window tells its user itself; the connection's tells all who wait.
      if (stream.sendWindow > 0) this.#waiting.add(end);
      return 0;
    }
    if (!this.reserve(allowed + 9)) {
      this.#waiting.add(end);
      return 0;
    }
    // Making room may have filled the channel.
    if (this.#isBlocked) {
      this.#waiting.add(end);
      return 0;
    }
    return allowed;
  }

  #acquireStaging(): void {
    this.#staging = this.#host.staging.acquire();
    this.bytes = this.#staging.bytes;
    this.end = 0;
  }

  #flush(): void {
    const staging = this.#staging;
    if (staging === undefined) return;
    const { end } = this;
    this.#staging = undefined;
    this.bytes = noBytes;
    this.end = 0;
    if (end > 0) this.#channel.write(staging.bytes, 0, end);
    this.#host.staging.release(staging);
  }

  #resumeWaiting(): void {
    const ends = [...this.#waiting];
    this.#waiting.clear();
    for (const end of ends) {
      if (this.#ended) return;
      if (this.#isBlocked) this.#waiting.add(end);
      else end.onRoom();
    }
  }

  #streamGone(): void {
    if (this.#ended) return;
    if (this.#draining && this.streamCount === 0) this.#host.loop.atTurnEnd(this);
    this.#owner.onSessionRoom();
  }

  #gone(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#staging !== undefined) this.#host.staging.release(this.#staging);
    this.#staging = undefined;
    this.bytes = noBytes;
    this.end = 0;
    this.#waiting.clear();
    for (const stream of this.#http2.streams()) {
      (stream.owner as Http2End | undefined)?.onSessionGone(reason);
    }
    this.#owner.onSessionEnd(reason);
  }
}
