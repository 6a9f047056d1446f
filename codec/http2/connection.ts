import { invariant } from '#common/assert.ts';

import { ClosedStreams } from './closed-streams.ts';
import type { Http2ConnectionState } from './connection-state.ts';
import type { Http2Events } from './events.ts';
import { type Header, isSendable } from './field.ts';
import { creditThreshold, overflows, ReceiveWindow } from './flow-control.ts';
import {
  ErrorCode,
  Flag,
  FrameType,
  MAX_31_BITS,
  PING_LENGTH,
  PRIORITY_LENGTH,
  readUint31,
  readUint32,
  SETTING_LENGTH,
  writeUint32,
} from './frame.ts';
import { Delivery, FrameReader, type FrameSink } from './frame-reader.ts';
import { FrameWriter, type Http2Output } from './frame-writer.ts';
import { type Budget, Guards } from './guards.ts';
import { HeaderBlock } from './header-block.ts';
import { HeaderList } from './header-list.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { type Http2Options, http2Options, type Role } from './options.ts';
import {
  applySettings,
  INITIAL_SETTINGS,
  SETTINGS_PER_FRAME_MAX,
  type Settings,
  UNLIMITED,
} from './settings.ts';
import { exportStream, Http2Stream, restoreStream } from './stream-state.ts';

/** A GOAWAY is kept together until it is whole; its debug text may be this long. */
const GOAWAY_LENGTH_MAX = 16_384;

/**
 * One HTTP/2 connection (RFC 9113), client or server, without I/O: received bytes go in, events come out of
 * the same call; what is to be sent is appended to the output.
 *
 * Everything it knows is plain data: `export()` and `restore()` move a connection to another process at any
 * byte. Time comes in with `receive()`, for the budgets against floods only.
 */
export class Http2Connection implements FrameSink {
  readonly role: Role;
  readonly #options: Required<Http2Options>;
  readonly #local: Readonly<Settings>;
  readonly #events: Http2Events;
  readonly #writer: FrameWriter;
  readonly #guards: Guards;
  readonly #list: HeaderList;
  readonly #block: HeaderBlock;
  #reader: FrameReader;
  #decoder: HpackDecoder;
  #encoder: HpackEncoder;
  readonly #closedStreams = new ClosedStreams();
  readonly #streams = new Map<number, Http2Stream>();
  readonly #peer: Settings = { ...INITIAL_SETTINGS };
  #peerSettingsSeen = false;
  #settingsAcked = false;
  #faulted = false;

  /** What we may still send on all streams together. */
  #sendWindow: number = INITIAL_SETTINGS.initialWindowSize;
  readonly #receive = new ReceiveWindow(INITIAL_SETTINGS.initialWindowSize);
  readonly #streamThreshold: number;
  readonly #connectionThreshold: number;
  /** A WINDOW_UPDATE found no room. */
  #creditWithheld = false;

  #nextStreamId = 1;
  /** The highest stream that the peer has opened, processed or not. */
  #highestPeerStream = 0;
  /** The highest stream that the user has seen. */
  #lastProcessed = 0;
  #refuseAbove: number = MAX_31_BITS;
  #goawaySent = false;
  #goawayReceived: number | undefined;
  #pingsWaiting = 0;

  // The DATA frame that is coming in.
  #dataStream: Http2Stream | undefined;
  #dataLeft = 0;
  #dataEnd = false;
  #padLengthMissing = false;

  constructor(role: Role, options: Http2Options, events: Http2Events, output: Http2Output) {
    this.role = role;
    this.#options = http2Options(role, options);
    this.#local = {
      headerTableSize: this.#options.headerTableSize,
      enablePush: role === 'server',
      maxConcurrentStreams: role === 'server' ? this.#options.maxConcurrentStreams : UNLIMITED,
      initialWindowSize: this.#options.initialWindowSize,
      maxFrameSize: this.#options.maxFrameSize,
      maxHeaderListSize: this.#options.maxHeaderListSize,
    };
    this.#events = events;
    this.#writer = new FrameWriter(output);
    this.#guards = new Guards(this.#options.connectionWindow);
    this.#list = new HeaderList(this.#options.maxHeaderListSize);
    this.#block = new HeaderBlock(this.#options.maxHeaderListSize);
    this.#reader = new FrameReader(role === 'server');
    // Until our SETTINGS are acknowledged the peer may use the default, and afterwards what they say.
    this.#decoder = new HpackDecoder(INITIAL_SETTINGS.headerTableSize);
    this.#encoder = new HpackEncoder(this.#options.huffman);
    const { windowUpdateShare } = this.#options;
    this.#streamThreshold = creditThreshold(this.#options.initialWindowSize, windowUpdateShare);
    this.#connectionThreshold = creditThreshold(this.#options.connectionWindow, windowUpdateShare);
  }

  /** Writes the preface (client), SETTINGS, and the connection's window. Call once, before anything else. */
  start(): void {
    const extra = this.#options.connectionWindow - INITIAL_SETTINGS.initialWindowSize;
    const written =
      (this.role === 'server' || this.#writer.preface()) &&
      this.#writer.settings(this.#local) &&
      (extra === 0 || this.#writer.windowUpdate(0, extra));
    if (!written) return this.#outputFull();
    this.#receive.left += extra;
  }

  /**
   * Takes the next bytes from the peer. `nowMs`: a clock that never goes back, the same in every call; its zero
   * does not matter.
   */
  receive(bytes: Buffer, start: number, end: number, nowMs: number): void {
    if (this.#faulted) return;
    this.#guards.refill(nowMs);
    this.#reader.read(bytes, start, end, this);
  }

  /** Streams that are not closed. */
  get streamCount(): number {
    return this.#streams.size;
  }

  streams(): Iterable<Http2Stream> {
    return this.#streams.values();
  }

  /** Streams that the peer lets us have open at once; practically without limit until its SETTINGS are in. */
  get peerMaxConcurrentStreams(): number {
    return this.#peer.maxConcurrentStreams;
  }

  get peerSettingsSeen(): boolean {
    return this.#peerSettingsSeen;
  }

  /** Would `openStream` be allowed now? Never again after a GOAWAY either way, or when the ids are used up. */
  canOpenStream(): boolean {
    return (
      this.role === 'client' &&
      !this.#faulted &&
      !this.#goawaySent &&
      this.#goawayReceived === undefined &&
      this.#nextStreamId <= MAX_31_BITS &&
      this.#streams.size < this.#peer.maxConcurrentStreams
    );
  }

  /** Sends a request. Undefined when no stream may be opened, or the output has no room. */
  openStream(headers: readonly Header[], endStream: boolean): Http2Stream | undefined {
    if (!this.canOpenStream()) return undefined;
    const streamId = this.#nextStreamId;
    if (!this.#writeHeaders(streamId, headers, endStream)) return undefined;
    this.#nextStreamId += 2;
    const stream = this.#newStream(streamId);
    const method = headers.find(([name]) => name === ':method')?.[1];
    stream.connect = method === 'CONNECT';
    stream.head = method === 'HEAD';
    stream.headersSent = true;
    stream.localEnded = endStream;
    return stream;
  }

  /**
   * Sends a response (any number of interim ones before it) or trailers. False, and nothing was sent, when the
   * stream is closed or already ended; no room in the output is a fault of the connection.
   */
  sendHeaders(stream: Http2Stream, headers: readonly Header[], endStream: boolean): boolean {
    if (this.#faulted || !stream.canSend) return false;
    if (!this.#writeHeaders(stream.id, headers, endStream)) {
      this.#outputFull();
      return false;
    }
    if (!stream.headersSent && !isInterim(headers)) {
      stream.headersSent = true;
      // An answered request has had its work done: it is no part of a rapid reset.
      this.#guards.peerResets.earn(1);
    }
    if (endStream) this.#endLocal(stream);
    return true;
  }

  /** Bytes that one DATA frame on this stream may carry now; 0 when it must wait for `onSendWindow`, or has ended. */
  dataAllowance(stream: Http2Stream): number {
    if (this.#faulted || stream.localEnded || stream.closed) return 0;
    let allowance = this.#peer.maxFrameSize;
    if (stream.sendWindow < allowance) allowance = stream.sendWindow;
    if (this.#sendWindow < allowance) allowance = this.#sendWindow;
    return allowance > 0 ? allowance : 0;
  }

  /**
   * Sends a DATA frame whose payload of `length` bytes already lies in the output, 9 bytes behind its end.
   * `length` is at most `dataAllowance(stream)`; it may be 0 to end the stream.
   */
  commitData(stream: Http2Stream, length: number, endStream: boolean): void {
    if (this.#faulted || !stream.canSend) return;
    invariant(
      length === 0 || length <= this.dataAllowance(stream),
      'A DATA frame is larger than its allowance',
    );
    this.#writer.commitData(stream.id, length, endStream);
    stream.sendWindow -= length;
    this.#sendWindow -= length;
    this.#guards.onDataSent(length);
    if (endStream) this.#endLocal(stream);
  }

  /**
   * Sends a copy of as much of `bytes[start, end)` as one frame and the windows allow. Returns how many bytes that
   * was; the stream is ended only when it was all of them, and `endStream` is set.
   */
  // oxlint-disable-next-line max-params -- once per chunk: an object would be an allocation each
  writeData(
    stream: Http2Stream,
    bytes: Buffer,
    start: number,
    end: number,
    endStream: boolean,
  ): number {
    if (this.#faulted || !stream.canSend) return 0;
    const length = Math.min(end - start, this.dataAllowance(stream));
    const last = endStream && length === end - start;
    if ((length === 0 && !last) || !this.#writer.copyData(bytes, start, start + length)) return 0;
    this.commitData(stream, length, last);
    return length;
  }

  /**
   * The application has taken `length` bytes of this stream: the peer may send as many more. Announced in
   * large steps. What a closed stream had left is given back without this.
   */
  consume(stream: Http2Stream, length: number): void {
    const taken = length < stream.unconsumed ? length : stream.unconsumed;
    stream.unconsumed -= taken;
    this.#giveStreamCredit(stream, taken);
    this.#giveCredit(taken);
  }

  /** Tries again what found no room: to be called when a refusing output has room again. */
  flushCredit(): void {
    if (!this.#creditWithheld || this.#faulted) return;
    this.#creditWithheld = false;
    this.#giveCredit(0);
    for (const stream of this.#streams.values()) this.#giveStreamCredit(stream, 0);
  }

  /** Ends a stream at once, in both directions. Nothing happens when it is closed. */
  reset(stream: Http2Stream, code: number): void {
    if (this.#faulted || stream.closed) return;
    this.#closedStreams.remember(stream.id, stream.receive.left);
    this.#close(stream);
    if (!this.#writer.resetStream(stream.id, code)) this.#outputFull();
  }

  /** Asks the peer for a sign of life. `payload`: an integer from 0 to 2^53-1 that comes back in `onPong`. */
  ping(payload: number): void {
    if (this.#faulted) return;
    invariant(
      Number.isSafeInteger(payload) && payload >= 0,
      `PING payload is ${payload}: want 0 to 2^53-1`,
    );
    const bytes = Buffer.allocUnsafe(PING_LENGTH);
    writeUint32(bytes, 0, Math.floor(payload / 2 ** 32));
    writeUint32(bytes, 4, payload % 2 ** 32);
    if (!this.#writer.ping(false, bytes, 0)) return this.#outputFull();
    this.#pingsWaiting++;
  }

  /**
   * First step of a graceful end: the peer is to open no more streams, but those on their way still count.
   * A round trip later (after a `ping`, say) comes `goaway(NO_ERROR)` with the real last stream.
   */
  drain(): void {
    if (this.#faulted || this.#goawaySent) return;
    this.#goawaySent = true;
    if (!this.#writer.goaway(MAX_31_BITS, ErrorCode.noError, '')) this.#outputFull();
  }

  /** Ends the connection for new streams; those of the peer that came in later are dropped unseen. */
  goaway(code: number, debug = ''): void {
    if (this.#faulted) return;
    this.#goawaySent = true;
    this.#refuseAbove = this.#lastProcessed;
    if (!this.#writer.goaway(this.#lastProcessed, code, debug)) this.#outputFull();
  }

  /** Everything, as plain data. Changes nothing. Not to be called from an event. */
  export(): Http2ConnectionState {
    return {
      role: this.role,
      options: this.#options,
      faulted: this.#faulted,
      peer: { ...this.#peer },
      peerSettingsSeen: this.#peerSettingsSeen,
      settingsAcked: this.#settingsAcked,
      sendWindow: this.#sendWindow,
      receiveLeft: this.#receive.left,
      receiveCredit: this.#receive.credit,
      creditWithheld: this.#creditWithheld,
      nextStreamId: this.#nextStreamId,
      highestPeerStream: this.#highestPeerStream,
      lastProcessed: this.#lastProcessed,
      refuseAbove: this.#refuseAbove,
      goawaySent: this.#goawaySent,
      goawayReceived: this.#goawayReceived,
      pingsWaiting: this.#pingsWaiting,
      streams: Array.from(this.#streams.values(), exportStream),
      closedStreams: this.#closedStreams.export(),
      reader: this.#reader.export(),
      data: {
        streamId: this.#dataStream?.id ?? 0,
        left: this.#dataLeft,
        endStream: this.#dataEnd,
        padLengthMissing: this.#padLengthMissing,
      },
      block: this.#block.export(),
      decoder: this.#decoder.export(),
      encoder: this.#encoder.export(),
      guards: this.#guards.export(),
    };
  }

  /** A connection that goes on where the exported one was. Its streams have no owners yet. */
  static restore(
    state: Http2ConnectionState,
    events: Http2Events,
    output: Http2Output,
  ): Http2Connection {
    const connection = new Http2Connection(state.role, state.options, events, output);
    connection.#restore(state);
    return connection;
  }

  #restore(state: Http2ConnectionState): void {
    this.#faulted = state.faulted;
    Object.assign(this.#peer, state.peer);
    this.#peerSettingsSeen = state.peerSettingsSeen;
    this.#settingsAcked = state.settingsAcked;
    this.#sendWindow = state.sendWindow;
    this.#receive.left = state.receiveLeft;
    this.#receive.credit = state.receiveCredit;
    this.#creditWithheld = state.creditWithheld;
    this.#nextStreamId = state.nextStreamId;
    this.#highestPeerStream = state.highestPeerStream;
    this.#lastProcessed = state.lastProcessed;
    this.#refuseAbove = state.refuseAbove;
    this.#goawaySent = state.goawaySent;
    this.#goawayReceived = state.goawayReceived;
    this.#pingsWaiting = state.pingsWaiting;
    for (const stream of state.streams) this.#streams.set(stream.id, restoreStream(stream));
    this.#closedStreams.restore(state.closedStreams);
    this.#reader = FrameReader.restore(state.reader);
    this.#dataStream = this.#streams.get(state.data.streamId);
    this.#dataLeft = state.data.left;
    this.#dataEnd = state.data.endStream;
    this.#padLengthMissing = state.data.padLengthMissing;
    if (state.block !== undefined) this.#block.restore(state.block);
    this.#decoder = HpackDecoder.restore(state.decoder);
    this.#encoder = HpackEncoder.restore(state.encoder);
    this.#guards.restore(state.guards);
  }

  // ---- frames as they come in (FrameSink)

  onBadPreface(): void {
    this.#fault(ErrorCode.protocolError, 'The connection does not begin with the HTTP/2 preface');
  }

  onFrameHeader(reader: FrameReader): Delivery {
    const { type, length, streamId } = reader;
    if (!this.#peerSettingsSeen && type !== FrameType.settings)
      return this.#refuse(ErrorCode.protocolError, 'The first frame is not SETTINGS');
    if (
      this.#block.streamId !== 0 &&
      (type !== FrameType.continuation || streamId !== this.#block.streamId)
    )
      return this.#refuse(
        ErrorCode.protocolError,
        'A header block is interrupted by another frame',
      );
    if (length > this.#options.maxFrameSize)
      return this.#refuse(ErrorCode.frameSizeError, `A frame has ${length} bytes`);
    switch (type) {
      case FrameType.data:
        return this.#beginData(reader);
      case FrameType.headers:
      case FrameType.continuation:
        return this.#beginHeaders(reader);
      case FrameType.settings:
        return this.#beginSettings(reader);
      case FrameType.windowUpdate:
      case FrameType.resetStream:
      case FrameType.ping:
      case FrameType.goaway:
        return this.#beginControl(reader);
      case FrameType.pushPromise:
        return this.#refuse(ErrorCode.protocolError, 'PUSH_PROMISE was not allowed');
      case FrameType.priority:
        return this.#ignorePriority(reader);
      default:
        this.#spend(this.#guards.ignoredFrames);
        return Delivery.skip;
    }
  }

  onPayloadPart(bytes: Buffer, start: number, end: number): void {
    let at = start;
    if (this.#padLengthMissing) {
      this.#takePadLength(bytes[at] ?? 0);
      at++;
    }
    if (this.#dataLeft === 0 || at === end) return;
    const length = this.#dataLeft < end - at ? this.#dataLeft : end - at;
    this.#dataLeft -= length;
    const stream = this.#dataStream;
    if (stream === undefined) {
      this.#giveCredit(length);
      return;
    }
    stream.unconsumed += length;
    this.#deliver(stream, bytes, at, at + length);
  }

  onPayload(bytes: Buffer, start: number, end: number): void {
    const reader = this.#reader;
    switch (reader.type) {
      case FrameType.headers:
        return this.#onHeaders(bytes, start, end);
      case FrameType.continuation:
        return this.#onContinuation(bytes, start, end);
      case FrameType.settings:
        return this.#onSettings(bytes, start, end);
      case FrameType.windowUpdate:
        return this.#onWindowUpdate(reader.streamId, readUint31(bytes, start));
      case FrameType.resetStream:
        return this.#onResetStream(reader.streamId, readUint32(bytes, start));
      case FrameType.ping:
        return this.#onPing(bytes, start);
      default:
        return this.#onGoaway(bytes, start, end);
    }
  }

  // ---- DATA

  #beginData(reader: FrameReader): Delivery {
    const { streamId, length } = reader;
    if (streamId === 0) return this.#refuse(ErrorCode.protocolError, 'DATA on stream 0');
    this.#receive.left -= length;
    if (this.#receive.left < 0)
      return this.#refuse(ErrorCode.flowControlError, "DATA beyond the connection's window");
    const stream = this.#streams.get(streamId);
    this.#dataStream = stream;
    this.#dataEnd = (reader.flags & Flag.endStream) !== 0;
    this.#padLengthMissing = (reader.flags & Flag.padded) !== 0;
    this.#dataLeft = 0;
    if (stream === undefined) this.#beginLateData(streamId, length);
    else {
      stream.receive.left -= length;
      if (stream.remoteEnded) this.#streamError(stream, ErrorCode.streamClosed);
      else if (!stream.headersSeen) this.#streamError(stream, ErrorCode.protocolError);
      else if (stream.receive.left < 0) this.#streamError(stream, ErrorCode.flowControlError);
    }
    if (this.#faulted) return Delivery.skip;
    if (!this.#padLengthMissing) this.#beginContent(length);
    else if (length === 0)
      return this.#refuse(ErrorCode.frameSizeError, 'Padded DATA without a pad length');
    return Delivery.parts;
  }

  /** DATA for a stream that is closed. Its bytes still count for the connection's window. */
  #beginLateData(streamId: number, length: number): void {
    if (this.#isIdle(streamId)) this.#fault(ErrorCode.protocolError, 'DATA on an idle stream');
    else if (streamId > this.#refuseAbove) return;
    else if (!this.#closedStreams.has(streamId))
      this.#refuseStream(streamId, ErrorCode.streamClosed);
    else if (!this.#closedStreams.takeWindow(streamId, length))
      this.#fault(ErrorCode.flowControlError, "DATA beyond a closed stream's window");
  }

  #takePadLength(padLength: number): void {
    this.#padLengthMissing = false;
    const content = this.#reader.length - 1 - padLength;
    if (content < 0)
      return this.#fault(ErrorCode.protocolError, 'DATA has more padding than payload');
    // Padding counts for the windows, and nobody else will consume it.
    if (this.#dataStream !== undefined) this.#giveStreamCredit(this.#dataStream, 1 + padLength);
    this.#giveCredit(1 + padLength);
    this.#beginContent(content);
  }

  /** It is known now how many bytes of data the frame carries. */
  #beginContent(length: number): void {
    this.#dataLeft = length;
    const overrun = this.#guards.onDataReceived(length, this.#dataEnd);
    if (overrun !== undefined) return this.#overrun(overrun);
    const stream = this.#dataStream;
    if (stream === undefined) return;
    if (stream.contentLeft >= 0) {
      stream.contentLeft -= length;
      if (stream.contentLeft < 0 || (this.#dataEnd && stream.contentLeft > 0))
        return this.#streamError(stream, ErrorCode.protocolError);
    }
    if (length === 0 && this.#dataEnd) this.#deliver(stream, NOTHING, 0, 0);
  }

  #deliver(stream: Http2Stream, bytes: Buffer, start: number, end: number): void {
    const last = this.#dataEnd && this.#dataLeft === 0;
    if (last) stream.remoteEnded = true;
    this.#events.onData(stream, bytes, start, end, last);
    if (last && stream.localEnded) this.#close(stream);
  }

  // ---- HEADERS

  #beginHeaders(reader: FrameReader): Delivery {
    const { streamId, length } = reader;
    if (streamId === 0) return this.#refuse(ErrorCode.protocolError, 'HEADERS on stream 0');
    if (reader.type === FrameType.headers) {
      if (length > this.#options.maxHeaderListSize)
        return this.#refuse(ErrorCode.enhanceYourCalm, `A header block has ${length} bytes`);
      return Delivery.whole;
    }
    if (this.#block.streamId === 0)
      return this.#refuse(ErrorCode.protocolError, 'CONTINUATION without HEADERS');
    if (!this.#block.admits(length))
      return this.#refuse(
        ErrorCode.enhanceYourCalm,
        'A header block has too many fragments or bytes',
      );
    return Delivery.whole;
  }

  #onHeaders(bytes: Buffer, start: number, end: number): void {
    const { flags, streamId } = this.#reader;
    let from = start;
    let to = end;
    if ((flags & Flag.padded) !== 0) {
      to -= bytes[from] ?? 0;
      from++;
    }
    if ((flags & Flag.priority) !== 0) from += PRIORITY_LENGTH;
    if (from > end)
      return this.#fault(ErrorCode.frameSizeError, 'HEADERS is shorter than its fields');
    if (from > to)
      return this.#fault(ErrorCode.protocolError, 'HEADERS has more padding than payload');
    const endStream = (flags & Flag.endStream) !== 0;
    if ((flags & Flag.endHeaders) !== 0)
      return this.#decode(streamId, endStream, bytes.subarray(from, to));
    this.#block.begin(streamId, endStream);
    this.#block.append(bytes, from, to);
  }

  #onContinuation(bytes: Buffer, start: number, end: number): void {
    const block = this.#block;
    block.append(bytes, start, end);
    if ((this.#reader.flags & Flag.endHeaders) === 0) return;
    const whole = block.bytes.subarray(0, block.length);
    const { streamId, endStream } = block;
    block.finish();
    this.#decode(streamId, endStream, whole);
  }

  #decode(streamId: number, endStream: boolean, block: Buffer): void {
    this.#list.clear();
    // Every block is decoded, also one that nobody wants: the table must stay the same on both sides.
    if (!this.#decoder.decode(block, 0, block.length, this.#list))
      return this.#fault(ErrorCode.compressionError, 'A header block cannot be decoded');
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) this.#onStreamHeaders(stream, endStream);
    else if (this.#isIdle(streamId)) this.#onNewStream(streamId, endStream);
    else if (streamId > this.#refuseAbove || this.#closedStreams.has(streamId))
      this.#spend(this.#guards.ignoredFrames);
    else this.#refuseStream(streamId, ErrorCode.streamClosed);
  }

  #onNewStream(streamId: number, endStream: boolean): void {
    if (this.role === 'client' || streamId % 2 === 0)
      return this.#fault(ErrorCode.protocolError, 'HEADERS on a stream that the peer may not open');
    this.#highestPeerStream = streamId;
    // It was on its way when we said that we take no more (RFC 9113 section 6.8).
    if (streamId > this.#refuseAbove) return void this.#spend(this.#guards.ignoredFrames);
    if (this.#streams.size >= this.#options.maxConcurrentStreams)
      return this.#refuseStream(streamId, ErrorCode.refusedStream);
    const list = this.#list;
    if (list.tooLarge) return this.#refuseStream(streamId, ErrorCode.enhanceYourCalm);
    const connect = list.method === 'CONNECT';
    if (!list.isRequest() || (!connect && endStream && list.contentLength > 0))
      return this.#refuseStream(streamId, ErrorCode.protocolError);
    this.#lastProcessed = streamId;
    const stream = this.#newStream(streamId);
    stream.connect = connect;
    stream.head = list.method === 'HEAD';
    stream.contentLeft = connect ? -1 : list.contentLength;
    this.#deliverHeaders(stream, endStream);
  }

  #onStreamHeaders(stream: Http2Stream, endStream: boolean): void {
    const list = this.#list;
    if (stream.remoteEnded) return this.#streamError(stream, ErrorCode.streamClosed);
    if (list.tooLarge) return this.#streamError(stream, ErrorCode.enhanceYourCalm);
    const allowed = stream.headersSeen
      ? endStream && list.isTrailers() && !this.#isTunnel(stream) && stream.contentLeft <= 0
      : this.#takeResponse(stream, endStream);
    if (!allowed) return this.#streamError(stream, ErrorCode.protocolError);
    if (list.status >= 100 && list.status < 200) {
      if (this.#spend(this.#guards.emptyFrames))
        this.#events.onHeaders(stream, list.headers, false);
      return;
    }
    this.#deliverHeaders(stream, endStream);
  }

  /** Is this a response that may come now? Remembers how much content it promises. */
  #takeResponse(stream: Http2Stream, endStream: boolean): boolean {
    const { status, contentLength } = this.#list;
    if (!this.#list.isResponse()) return false;
    if (status < 200) return !endStream;
    if (stream.connect && status < 300) return true;
    stream.contentLeft = stream.head || status === 204 || status === 304 ? 0 : contentLength;
    return !endStream || stream.contentLeft <= 0;
  }

  /** Only DATA may follow on an established CONNECT (RFC 9113 section 8.5). */
  #isTunnel(stream: Http2Stream): boolean {
    return stream.connect && stream.contentLeft < 0;
  }

  #deliverHeaders(stream: Http2Stream, endStream: boolean): void {
    if (endStream) stream.remoteEnded = true;
    this.#events.onHeaders(stream, this.#list.headers, endStream);
    stream.headersSeen = true;
    if (endStream && stream.localEnded) this.#close(stream);
  }

  // ---- the other frames

  #beginSettings(reader: FrameReader): Delivery {
    const { streamId, length, flags } = reader;
    if (streamId !== 0) return this.#refuse(ErrorCode.protocolError, 'SETTINGS on a stream');
    const ack = (flags & Flag.ack) !== 0;
    if (ack && !this.#peerSettingsSeen)
      return this.#refuse(ErrorCode.protocolError, 'The first frame is an acknowledgement');
    if (ack ? length !== 0 : length % SETTING_LENGTH !== 0)
      return this.#refuse(ErrorCode.frameSizeError, `SETTINGS has ${length} bytes`);
    if (length > SETTINGS_PER_FRAME_MAX * SETTING_LENGTH)
      return this.#refuse(ErrorCode.enhanceYourCalm, `SETTINGS has ${length} bytes`);
    return Delivery.whole;
  }

  #onSettings(bytes: Buffer, start: number, end: number): void {
    if ((this.#reader.flags & Flag.ack) !== 0) return this.#onSettingsAck();
    if (!this.#spend(this.#guards.answers)) return;
    const before = this.#peer.initialWindowSize;
    const code = applySettings(this.#peer, bytes, start, end);
    if (code !== ErrorCode.noError) return this.#fault(code, 'SETTINGS has a value out of range');
    if (this.role === 'client' && end > start && this.#allowsPush(bytes, start, end))
      return this.#fault(ErrorCode.protocolError, 'A server allows itself to be pushed to');
    this.#encoder.setPeerLimit(this.#peer.headerTableSize);
    if (!this.#writer.settingsAck()) return this.#outputFull();
    this.#peerSettingsSeen = true;
    this.#events.onPeerSettings();
    this.#widenStreams(this.#peer.initialWindowSize - before);
  }

  /** A server must not send ENABLE_PUSH = 1 (RFC 9113 section 6.5.2). */
  #allowsPush(bytes: Buffer, start: number, end: number): boolean {
    for (let at = start; at < end; at += SETTING_LENGTH)
      if (readUint32(bytes, at) === 0x0002_0000 && readUint31(bytes, at + 2) === 1) return true;
    return false;
  }

  /** A new initial window holds for open streams too, in both directions (RFC 9113 section 6.9.2). */
  #widenStreams(change: number): void {
    if (change === 0) return;
    for (const stream of this.#streams.values()) {
      if (overflows(stream.sendWindow, change))
        return this.#fault(ErrorCode.flowControlError, 'SETTINGS overflow a window');
      const closed = stream.sendWindow <= 0;
      stream.sendWindow += change;
      if (closed && stream.sendWindow > 0 && stream.canSend) this.#events.onSendWindow(stream);
      if (this.#faulted) return;
    }
  }

  #onSettingsAck(): void {
    if (this.#settingsAcked) return void this.#spend(this.#guards.ignoredFrames);
    this.#settingsAcked = true;
    this.#decoder.setLimit(this.#local.headerTableSize);
    // Until now the peer could use the default window, if that is the larger one.
    const change = Math.min(0, this.#local.initialWindowSize - INITIAL_SETTINGS.initialWindowSize);
    if (change !== 0) for (const stream of this.#streams.values()) stream.receive.left += change;
  }

  #beginControl(reader: FrameReader): Delivery {
    const { type, length, streamId } = reader;
    const onConnection = type === FrameType.ping || type === FrameType.goaway;
    if (onConnection && streamId !== 0)
      return this.#refuse(ErrorCode.protocolError, 'PING or GOAWAY on a stream');
    if (type === FrameType.goaway) {
      if (length < 8) return this.#refuse(ErrorCode.frameSizeError, `GOAWAY has ${length} bytes`);
      if (length > GOAWAY_LENGTH_MAX || !this.#guards.ignoredFrames.spend())
        return this.#refuse(ErrorCode.enhanceYourCalm, 'GOAWAY is too long or too frequent');
      return Delivery.whole;
    }
    if (length !== (type === FrameType.ping ? PING_LENGTH : 4))
      return this.#refuse(ErrorCode.frameSizeError, `A control frame has ${length} bytes`);
    if (type === FrameType.resetStream && streamId === 0)
      return this.#refuse(ErrorCode.protocolError, 'RST_STREAM on stream 0');
    return Delivery.whole;
  }

  #ignorePriority(reader: FrameReader): Delivery {
    if (reader.streamId === 0) return this.#refuse(ErrorCode.protocolError, 'PRIORITY on stream 0');
    if (!this.#spend(this.#guards.ignoredFrames)) return Delivery.skip;
    const stream = this.#streams.get(reader.streamId);
    if (reader.length !== PRIORITY_LENGTH && stream !== undefined)
      this.#streamError(stream, ErrorCode.frameSizeError);
    return Delivery.skip;
  }

  #onWindowUpdate(streamId: number, increment: number): void {
    if (!this.#spend(this.#guards.windowUpdates)) return;
    if (streamId === 0) return this.#widenConnection(increment);
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      if (this.#isIdle(streamId))
        this.#fault(ErrorCode.protocolError, 'WINDOW_UPDATE on an idle stream');
      return;
    }
    if (increment === 0) return this.#streamError(stream, ErrorCode.protocolError);
    if (overflows(stream.sendWindow, increment))
      return this.#streamError(stream, ErrorCode.flowControlError);
    const closed = stream.sendWindow <= 0;
    stream.sendWindow += increment;
    if (closed && stream.sendWindow > 0 && stream.canSend) this.#events.onSendWindow(stream);
  }

  #widenConnection(increment: number): void {
    if (increment === 0) return this.#fault(ErrorCode.protocolError, 'WINDOW_UPDATE of 0');
    if (overflows(this.#sendWindow, increment))
      return this.#fault(
        ErrorCode.flowControlError,
        "WINDOW_UPDATE overflows the connection's window",
      );
    const closed = this.#sendWindow <= 0;
    this.#sendWindow += increment;
    if (closed) this.#events.onSendWindow(undefined);
  }

  #onResetStream(streamId: number, code: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      if (this.#isIdle(streamId))
        this.#fault(ErrorCode.protocolError, 'RST_STREAM on an idle stream');
      else this.#spend(this.#guards.ignoredFrames);
      return;
    }
    // The user hears of it in any case: its work must stop even if the connection ends here.
    this.#close(stream);
    this.#events.onReset(stream, code, true);
    if (this.role === 'server' && !stream.headersSent) this.#spend(this.#guards.peerResets);
  }

  #onPing(bytes: Buffer, start: number): void {
    if ((this.#reader.flags & Flag.ack) === 0) {
      if (!this.#spend(this.#guards.answers)) return;
      if (!this.#writer.ping(true, bytes, start)) this.#outputFull();
      return;
    }
    if (this.#pingsWaiting === 0) return void this.#spend(this.#guards.ignoredFrames);
    this.#pingsWaiting--;
    this.#events.onPong(readUint32(bytes, start) * 2 ** 32 + readUint32(bytes, start + 4));
  }

  #onGoaway(bytes: Buffer, start: number, end: number): void {
    const lastStreamId = readUint31(bytes, start);
    if (lastStreamId > (this.#goawayReceived ?? MAX_31_BITS))
      return this.#fault(ErrorCode.protocolError, 'GOAWAY raises the last stream');
    this.#goawayReceived = lastStreamId;
    this.#events.onGoaway(
      lastStreamId,
      readUint32(bytes, start + 4),
      bytes.toString('latin1', start + 8, end),
    );
    if (this.role === 'server') return;
    for (const stream of this.#streams.values()) {
      if (stream.id <= lastStreamId) continue;
      this.#close(stream);
      this.#events.onReset(stream, ErrorCode.refusedStream, true);
    }
  }

  // ---- shared

  #newStream(streamId: number): Http2Stream {
    const receiveWindow = this.#settingsAcked
      ? this.#local.initialWindowSize
      : Math.max(this.#local.initialWindowSize, INITIAL_SETTINGS.initialWindowSize);
    const stream = new Http2Stream(streamId, this.#peer.initialWindowSize, receiveWindow);
    this.#streams.set(streamId, stream);
    this.#guards.onStream();
    return stream;
  }

  /** Has nobody opened this stream yet? */
  #isIdle(streamId: number): boolean {
    if (this.role === 'server') return streamId % 2 === 0 || streamId > this.#highestPeerStream;
    return streamId % 2 === 0 || streamId >= this.#nextStreamId;
  }

  #writeHeaders(streamId: number, headers: readonly Header[], endStream: boolean): boolean {
    for (const header of headers)
      invariant(
        isSendable(header),
        `Header ${JSON.stringify(header[0])} holds characters that must not be sent`,
      );
    return this.#writer.headers(
      { streamId, headers, endStream },
      this.#encoder,
      this.#peer.maxFrameSize,
    );
  }

  #giveStreamCredit(stream: Http2Stream, length: number): void {
    if (stream.remoteEnded || stream.closed) return;
    const window = stream.receive;
    window.credit += length;
    if (window.credit < this.#streamThreshold || this.#faulted) return;
    if (this.#writer.windowUpdate(stream.id, window.credit)) window.announce();
    else this.#creditWithheld = true;
  }

  #giveCredit(length: number): void {
    const window = this.#receive;
    window.credit += length;
    if (window.credit < this.#connectionThreshold || this.#faulted) return;
    if (this.#writer.windowUpdate(0, window.credit)) window.announce();
    else this.#creditWithheld = true;
  }

  #endLocal(stream: Http2Stream): void {
    stream.localEnded = true;
    if (stream.remoteEnded) this.#close(stream);
  }

  /** Forgets a stream. Bytes that it still held count as consumed for the connection. */
  #close(stream: Http2Stream): void {
    if (stream.closed) return;
    stream.closed = true;
    this.#streams.delete(stream.id);
    if (stream === this.#dataStream) this.#dataStream = undefined;
    const left = stream.unconsumed;
    stream.unconsumed = 0;
    this.#giveCredit(left);
  }

  /** A stream error on an open stream (RFC 9113 section 5.4.2). */
  #streamError(stream: Http2Stream, code: number): void {
    this.#closedStreams.remember(stream.id, stream.receive.left);
    this.#close(stream);
    this.#events.onReset(stream, code, false);
    this.#writeOwnReset(stream.id, code);
  }

  /** The same for a stream that the user has never seen, or sees no more. */
  #refuseStream(streamId: number, code: number): void {
    this.#closedStreams.remember(streamId, this.#options.initialWindowSize);
    this.#writeOwnReset(streamId, code);
  }

  #writeOwnReset(streamId: number, code: number): void {
    if (this.#faulted || !this.#spend(this.#guards.ownResets)) return;
    if (!this.#writer.resetStream(streamId, code)) this.#outputFull();
  }

  #spend(budget: Budget): boolean {
    if (budget.spend()) return true;
    this.#overrun(budget);
    return false;
  }

  #overrun(budget: Budget): void {
    this.#fault(ErrorCode.enhanceYourCalm, `Too many: ${budget.reason}`);
  }

  /** A peer that reads nothing must not make us hold its answers. */
  #outputFull(): void {
    this.#fault(ErrorCode.enhanceYourCalm, 'The peer does not read what it asked for');
  }

  #refuse(code: number, reason: string): Delivery {
    this.#fault(code, reason);
    return Delivery.skip;
  }

  /** A connection error (RFC 9113 section 5.4.1). */
  #fault(code: number, reason: string): void {
    if (this.#faulted) return;
    this.#faulted = true;
    this.#reader.stopped = true;
    this.#writer.goaway(this.#lastProcessed, code, reason);
    this.#events.onFault(code, reason);
  }
}

const NOTHING: Buffer = Buffer.alloc(0);

/** Is this an interim response (1xx)? Its status comes first, as pseudo headers do. */
function isInterim(headers: readonly Header[]): boolean {
  const first = headers[0];
  return first !== undefined && first[0] === ':status' && first[1].startsWith('1');
}
