import type { ConnectionCore } from './connection-core.ts';
import type { Header } from './field.ts';
import { ErrorCode, Flag, FrameType, PRIORITY_LENGTH } from './frame.ts';
import { Delivery, type FrameReader } from './frame-reader.ts';
import { HeaderBlock, type HeaderBlockState } from './header-block.ts';
import { HeaderList } from './header-list.ts';
import { HpackDecoder, type HpackDecoderState } from './hpack-decoder.ts';
import { INITIAL_SETTINGS } from './settings.ts';
import type { Http2Stream } from './stream-state.ts';

/**
 * Coded bytes of a header block beyond the largest list that we accept. A list that is too large is the error
 * of one stream, as long as the block is small enough to be decoded; only beyond that it costs the connection.
 */
const BLOCK_LENGTH_EXTRA = 65_536;

/** RFC 6585 section 5. */
const TOO_LARGE: readonly Header[] = [[':status', '431']];

/** Takes HEADERS and CONTINUATION frames: requests, responses and trailers (RFC 9113 sections 6.2, 6.10 and 8). */
export class HeadersReceiver {
  readonly #core: ConnectionCore;
  readonly #list: HeaderList;
  readonly #block: HeaderBlock;
  readonly #lengthMax: number;
  #decoder: HpackDecoder;

  constructor(core: ConnectionCore) {
    const { maxHeaderListSize } = core.options;
    this.#core = core;
    this.#lengthMax = maxHeaderListSize + BLOCK_LENGTH_EXTRA;
    this.#list = new HeaderList(maxHeaderListSize);
    this.#block = new HeaderBlock(this.#lengthMax);
    // Until our SETTINGS are acknowledged the peer uses the default, and afterwards what they say.
    this.#decoder = new HpackDecoder(INITIAL_SETTINGS.headerTableSize);
  }

  /** The stream whose header block has begun and not ended; 0 without one. */
  get unfinishedStreamId(): number {
    return this.#block.streamId;
  }

  onSettingsAck(): void {
    this.#decoder.setLimit(this.#core.local.headerTableSize);
  }

  begin(reader: FrameReader): Delivery {
    const core = this.#core;
    if (reader.streamId === 0)
      return core.refuseFrame(ErrorCode.protocolError, 'HEADERS on stream 0');
    if (reader.type === FrameType.headers) {
      if (reader.length <= this.#lengthMax) return Delivery.whole;
    } else {
      if (this.#block.streamId === 0)
        return core.refuseFrame(ErrorCode.protocolError, 'CONTINUATION without HEADERS');
      if (this.#block.admits(reader.length)) return Delivery.whole;
    }
    return core.refuseFrame(
      ErrorCode.enhanceYourCalm,
      'A header block has too many fragments or bytes',
    );
  }

  /** The payload of a HEADERS or CONTINUATION frame. */
  take(reader: FrameReader, bytes: Buffer, start: number, end: number): void {
    if (reader.type === FrameType.headers) this.#onHeaders(reader, bytes, start, end);
    else this.#onContinuation(reader, bytes, start, end);
  }

  export(): { block: HeaderBlockState | undefined; decoder: HpackDecoderState } {
    return { block: this.#block.export(), decoder: this.#decoder.export() };
  }

  restore(block: HeaderBlockState | undefined, decoder: HpackDecoderState): void {
    if (block !== undefined) this.#block.restore(block);
    this.#decoder = HpackDecoder.restore(decoder);
  }

  #onHeaders(reader: FrameReader, bytes: Buffer, start: number, end: number): void {
    const { flags } = reader;
    let from = start;
    let to = end;
    if ((flags & Flag.padded) !== 0) to -= bytes[from++] ?? 0;
    // Priorities are deprecated (RFC 9113 section 5.3.2): they are read over.
    if ((flags & Flag.priority) !== 0) from += PRIORITY_LENGTH;
    if (from > end)
      return this.#core.fault(ErrorCode.frameSizeError, 'HEADERS is shorter than its fields');
    if (from > to)
      return this.#core.fault(ErrorCode.protocolError, 'HEADERS has more padding than payload');
    this.#block.begin(reader.streamId, (flags & Flag.endStream) !== 0);
    // A block that comes in one frame is decoded where it lies.
    if ((flags & Flag.endHeaders) !== 0) this.#decode(bytes, from, to);
    else this.#block.append(bytes, from, to);
  }

  #onContinuation(reader: FrameReader, bytes: Buffer, start: number, end: number): void {
    const block = this.#block;
    block.append(bytes, start, end);
    if ((reader.flags & Flag.endHeaders) !== 0) this.#decode(block.bytes, 0, block.length);
  }

  /** Decodes the block that has begun last. */
  #decode(bytes: Buffer, start: number, end: number): void {
    const core = this.#core;
    const { streamId, endStream } = this.#block;
    this.#block.finish();
    this.#list.clear();
    // Every block is decoded, also one that nobody wants: the table must stay the same on both sides.
    if (!this.#decoder.decode(bytes, start, end, this.#list))
      return core.fault(ErrorCode.compressionError, 'A header block cannot be decoded');
    const stream = core.streams.get(streamId);
    if (stream !== undefined) this.#onOpenStream(stream, endStream);
    else if (core.isIdle(streamId)) this.#onNewStream(streamId, endStream);
    else if (streamId > core.refuseAbove || core.closedStreams.has(streamId))
      core.spend(core.guards.ignoredFrames);
    else core.refuseStream(streamId, ErrorCode.streamClosed);
  }

  #onNewStream(streamId: number, endStream: boolean): void {
    const core = this.#core;
    if (core.role === 'client' || streamId % 2 === 0)
      return core.fault(ErrorCode.protocolError, 'HEADERS on a stream that the peer may not open');
    core.highestPeerStream = streamId;
    // It was on its way when we said that we take no more (RFC 9113 section 6.8).
    if (streamId > core.refuseAbove) return void core.spend(core.guards.ignoredFrames);
    const { maxConcurrentStreams } = core.options;
    const tooMany =
      core.openStreams >= maxConcurrentStreams || core.lingering >= maxConcurrentStreams;
    if (tooMany) return core.refuseStream(streamId, ErrorCode.refusedStream);
    const list = this.#list;
    if (list.tooLarge) return this.#answerTooLarge(streamId, endStream);
    const connect = list.method === 'CONNECT';
    if (!list.isRequest() || (!connect && endStream && list.contentLength > 0))
      return core.refuseStream(streamId, ErrorCode.protocolError);
    core.lastProcessed = streamId;
    const stream = core.newStream(streamId);
    stream.tunnel = connect;
    stream.head = list.method === 'HEAD';
    stream.contentLeft = connect ? -1 : list.contentLength;
    this.#deliver(stream, endStream);
  }

  /** Its client is told what it did, and that the rest of the request is not wanted (RFC 9113 section 10.5.1). */
  #answerTooLarge(streamId: number, endStream: boolean): void {
    const core = this.#core;
    const answer = { streamId, headers: TOO_LARGE, endStream: true };
    const isTold = core.writer.headers(answer, core.encoder, core.peer.maxFrameSize);
    // With that both sides have ended.
    if (isTold && endStream) core.closedStreams.remember(streamId, 0);
    else core.refuseStream(streamId, isTold ? ErrorCode.noError : ErrorCode.enhanceYourCalm);
  }

  #onOpenStream(stream: Http2Stream, endStream: boolean): void {
    const core = this.#core;
    const list = this.#list;
    if (stream.remoteEnded) return core.streamError(stream, ErrorCode.streamClosed);
    if (list.tooLarge) return core.streamError(stream, ErrorCode.enhanceYourCalm);
    // Only DATA may follow on a CONNECT (RFC 9113 section 8.5).
    const allowed = stream.headersSeen
      ? endStream && list.isTrailers() && !stream.tunnel && stream.contentLeft <= 0
      : this.#takeResponse(stream, endStream);
    if (!allowed) return core.streamError(stream, ErrorCode.protocolError);
    if (!stream.headersSeen && list.status < 200) {
      if (core.spend(core.guards.emptyFrames)) core.events.onHeaders(stream, list.headers, false);
      return;
    }
    this.#deliver(stream, endStream);
  }

  /** Is this a response that may come now? Remembers how much content it promises. */
  #takeResponse(stream: Http2Stream, endStream: boolean): boolean {
    const { status, contentLength } = this.#list;
    if (!this.#list.isResponse()) return false;
    if (status < 200) return !endStream;
    // A tunnel has no content; a refused one has a response like any other.
    if (stream.tunnel && status < 300) return true;
    stream.tunnel = false;
    stream.contentLeft = stream.head || status === 204 || status === 304 ? 0 : contentLength;
    return !endStream || stream.contentLeft <= 0;
  }

  #deliver(stream: Http2Stream, endStream: boolean): void {
    if (endStream) this.#core.endRemote(stream);
    this.#core.events.onHeaders(stream, this.#list.headers, endStream);
    stream.headersSeen = true;
    if (endStream) this.#core.closeIfDone(stream);
  }
}
