import { invariant } from '#common/assert.ts';

import { ConnectionCore } from './connection-core.ts';
import type { Http2ConnectionState } from './connection-state.ts';
import type { Http2Events } from './events.ts';
import { type Header, isSendable } from './field.ts';
import {
  ErrorCode,
  Flag,
  FrameType,
  MAX_31_BITS,
  PING_LENGTH,
  readUint31,
  readUint32,
  writeUint32,
} from './frame.ts';
import { Delivery, FrameReader, type FrameSink } from './frame-reader.ts';
import type { Http2Output } from './frame-writer.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import type { Http2Options, Role } from './options.ts';
import { ControlReceiver } from './receive-control.ts';
import { DataReceiver } from './receive-data.ts';
import { HeadersReceiver } from './receive-headers.ts';
import { INITIAL_SETTINGS } from './settings.ts';
import { exportStream, type Http2Stream, restoreStream } from './stream-state.ts';

/**
 * One HTTP/2 connection (RFC 9113), client or server, without I/O: received bytes go in, events come out of
 * the same call; what is to be sent is appended to the output.
 *
 * Everything it knows is plain data: `export()` and `restore()` move a connection to another process at any
 * byte. Time comes in with `receive()`, for the budgets against floods only.
 */
export class Http2Connection implements FrameSink {
  readonly role: Role;
  readonly #core: ConnectionCore;
  readonly #data: DataReceiver;
  readonly #headers: HeadersReceiver;
  readonly #control: ControlReceiver;
  #reader: FrameReader;

  constructor(role: Role, options: Http2Options, events: Http2Events, output: Http2Output) {
    this.role = role;
    this.#core = new ConnectionCore(role, options, events, output);
    this.#data = new DataReceiver(this.#core);
    this.#headers = new HeadersReceiver(this.#core);
    this.#control = new ControlReceiver(this.#core);
    this.#reader = new FrameReader(role === 'server');
  }

  /** Writes the preface (client), SETTINGS, and the connection's window. Call once, before anything else. */
  start(): void {
    const { writer, options, local, receive } = this.#core;
    const extra = options.connectionWindow - INITIAL_SETTINGS.initialWindowSize;
    const written =
      (this.role === 'server' || writer.preface()) &&
      writer.settings(local) &&
      (extra === 0 || writer.windowUpdate(0, extra));
    if (!written) return this.#core.outputFull();
    receive.left += extra;
  }

  /**
   * Takes the next bytes from the peer. `nowMs`: a clock that never goes back, the same in every call; its zero
   * does not matter.
   */
  receive(bytes: Buffer, start: number, end: number, nowMs: number): void {
    if (this.#core.faulted) return;
    this.#core.guards.tick(nowMs);
    this.#reader.read(bytes, start, end, this);
  }

  /** Streams that are not closed: not ended by both sides, or not consumed to the end. */
  get streamCount(): number {
    return this.#core.streams.size;
  }

  streams(): Iterable<Http2Stream> {
    return this.#core.streams.values();
  }

  /** Streams that the peer lets us have open at once; practically without limit until its SETTINGS are in. */
  get peerMaxConcurrentStreams(): number {
    return this.#core.peer.maxConcurrentStreams;
  }

  get peerSettingsSeen(): boolean {
    return this.#core.peerSettingsSeen;
  }

  /** Would `openStream` be allowed now? Never again after a GOAWAY either way, or when the ids are used up. */
  canOpenStream(): boolean {
    return (
      this.role === 'client' &&
      !this.#core.faulted &&
      !this.#core.goawaySent &&
      this.#core.goawayReceived === undefined &&
      this.#core.nextStreamId <= MAX_31_BITS &&
      this.#core.openStreams < this.#core.peer.maxConcurrentStreams
    );
  }

  /** Sends a request. Undefined when no stream may be opened, or the output has no room. */
  openStream(headers: readonly Header[], endStream: boolean): Http2Stream | undefined {
    if (!this.canOpenStream()) return undefined;
    const streamId = this.#core.nextStreamId;
    if (!this.#writeHeaders(streamId, headers, endStream)) return undefined;
    this.#core.nextStreamId += 2;
    const stream = this.#core.newStream(streamId);
    const method = headers.find(([name]) => name === ':method')?.[1];
    stream.tunnel = method === 'CONNECT';
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
    if (this.#core.faulted || !stream.canSend) return false;
    if (!this.#writeHeaders(stream.id, headers, endStream)) {
      this.#core.outputFull();
      return false;
    }
    if (!stream.headersSent && !isInterim(headers)) {
      stream.headersSent = true;
      // An answered request has had its work done: it is no part of a rapid reset.
      this.#core.guards.peerResets.earn(1);
    }
    if (endStream) this.#core.endLocal(stream);
    return true;
  }

  /** Bytes that one DATA frame on this stream may carry now; 0 when it must wait for `onSendWindow`, or has ended. */
  dataAllowance(stream: Http2Stream): number {
    if (this.#core.faulted || stream.localEnded || stream.closed) return 0;
    let allowance = this.#core.peer.maxFrameSize;
    if (stream.sendWindow < allowance) allowance = stream.sendWindow;
    if (this.#core.sendWindow < allowance) allowance = this.#core.sendWindow;
    return allowance > 0 ? allowance : 0;
  }

  /**
   * Sends a DATA frame whose payload of `length` bytes already lies in the output, 9 bytes behind its end.
   * `length` is at most `dataAllowance(stream)`; it may be 0 to end the stream.
   */
  commitData(stream: Http2Stream, length: number, endStream: boolean): void {
    if (this.#core.faulted || !stream.canSend) return;
    if (length === 0 && !endStream) return;
    invariant(
      length === 0 || length <= this.dataAllowance(stream),
      'A DATA frame is larger than its allowance',
    );
    this.#core.writer.commitData(stream.id, length, endStream);
    stream.sendWindow -= length;
    this.#core.sendWindow -= length;
    this.#core.guards.onDataSent(length);
    if (endStream) this.#core.endLocal(stream);
  }

  /**
   * The application has taken `length` bytes of this stream: the peer may send as many more. Announced in
   * large steps. The last of it closes a stream that both sides have ended. What a reset stream had left is
   * given back without this.
   */
  consume(stream: Http2Stream, length: number): void {
    const taken = length < stream.unconsumed ? length : stream.unconsumed;
    stream.unconsumed -= taken;
    this.#core.giveStreamCredit(stream, taken);
    this.#core.giveCredit(taken);
    this.#core.closeIfDone(stream);
  }

  /** Tries again what found no room: to be called when a refusing output has room again. */
  flushCredit(): void {
    if (!this.#core.creditWithheld || this.#core.faulted) return;
    this.#core.creditWithheld = false;
    this.#core.giveCredit(0);
    for (const stream of this.#core.streams.values()) this.#core.giveStreamCredit(stream, 0);
  }

  /** Ends a stream at once, in both directions. Nothing happens when it is closed. */
  reset(stream: Http2Stream, code: number): void {
    if (this.#core.faulted || stream.closed) return;
    // The peer has forgotten a stream that both have ended, and needs no frame about it.
    if (stream.bothEnded) return this.#core.close(stream);
    this.#core.closedStreams.remember(stream.id, stream.receive.left);
    this.#core.close(stream);
    if (!this.#core.writer.resetStream(stream.id, code)) this.#core.outputFull();
  }

  /** Asks the peer for a sign of life. `payload`: an integer from 0 to 2^53-1 that comes back in `onPong`. */
  ping(payload: number): void {
    if (this.#core.faulted) return;
    invariant(
      Number.isSafeInteger(payload) && payload >= 0,
      `PING payload is ${payload}: want 0 to 2^53-1`,
    );
    const bytes = Buffer.allocUnsafe(PING_LENGTH);
    writeUint32(bytes, 0, Math.floor(payload / 2 ** 32));
    writeUint32(bytes, 4, payload % 2 ** 32);
    if (!this.#core.writer.ping(false, bytes, 0)) return this.#core.outputFull();
    this.#core.pingsWaiting++;
  }

  /**
   * First step of a graceful end: the peer is to open no more streams, but those on their way still count.
   * A round trip later (after a `ping`, say) comes `goaway(NO_ERROR)` with the real last stream.
   */
  drain(): void {
    if (this.#core.faulted || this.#core.goawaySent) return;
    this.#core.goawaySent = true;
    if (!this.#core.writer.goaway(MAX_31_BITS, ErrorCode.noError, '')) this.#core.outputFull();
  }

  /** Ends the connection for new streams; those of the peer that came in later are dropped unseen. */
  goaway(code: number, debug = ''): void {
    if (this.#core.faulted) return;
    this.#core.goawaySent = true;
    this.#core.refuseAbove = this.#core.lastProcessed;
    if (!this.#core.writer.goaway(this.#core.lastProcessed, code, debug)) this.#core.outputFull();
  }

  /** Everything, as plain data. Changes nothing. Not to be called from an event. */
  export(): Http2ConnectionState {
    const core = this.#core;
    return {
      role: this.role,
      options: { ...core.options },
      faulted: core.faulted,
      peer: { ...core.peer },
      peerSettingsSeen: core.peerSettingsSeen,
      settingsAcked: core.settingsAcked,
      sendWindow: core.sendWindow,
      receiveLeft: core.receive.left,
      receiveCredit: core.receive.credit,
      creditWithheld: core.creditWithheld,
      nextStreamId: core.nextStreamId,
      highestPeerStream: core.highestPeerStream,
      lastProcessed: core.lastProcessed,
      refuseAbove: core.refuseAbove,
      goawaySent: core.goawaySent,
      goawayReceived: core.goawayReceived,
      pingsWaiting: core.pingsWaiting,
      streams: Array.from(core.streams.values(), exportStream),
      closedStreams: core.closedStreams.export(),
      reader: this.#reader.export(),
      data: this.#data.export(),
      ...this.#headers.export(),
      encoder: core.encoder.export(),
      guards: core.guards.export(),
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
    const core = this.#core;
    core.faulted = state.faulted;
    Object.assign(core.peer, state.peer);
    core.peerSettingsSeen = state.peerSettingsSeen;
    core.settingsAcked = state.settingsAcked;
    core.sendWindow = state.sendWindow;
    core.receive.left = state.receiveLeft;
    core.receive.credit = state.receiveCredit;
    core.creditWithheld = state.creditWithheld;
    core.nextStreamId = state.nextStreamId;
    core.highestPeerStream = state.highestPeerStream;
    core.lastProcessed = state.lastProcessed;
    core.refuseAbove = state.refuseAbove;
    core.goawaySent = state.goawaySent;
    core.goawayReceived = state.goawayReceived;
    core.pingsWaiting = state.pingsWaiting;
    for (const stream of state.streams) core.adopt(restoreStream(stream));
    core.closedStreams.restore(state.closedStreams);
    core.encoder = HpackEncoder.restore(state.encoder);
    core.guards.restore(state.guards);
    this.#reader = FrameReader.restore(state.reader);
    this.#data.restore(state.data);
    this.#headers.restore(state.block, state.decoder);
  }

  // ---- FrameSink: called by the reader only

  get finished(): boolean {
    return this.#core.faulted;
  }

  onBadPreface(): void {
    const reason = 'The connection does not begin with the HTTP/2 preface';
    this.#core.fault(ErrorCode.protocolError, reason);
  }

  onFrameHeader(reader: FrameReader): Delivery {
    const core = this.#core;
    const { type, length } = reader;
    if (!core.peerSettingsSeen && type !== FrameType.settings)
      return core.refuseFrame(ErrorCode.protocolError, 'The first frame is not SETTINGS');
    const unfinished = this.#headers.unfinishedStreamId;
    if (unfinished !== 0 && (type !== FrameType.continuation || reader.streamId !== unfinished))
      return core.refuseFrame(ErrorCode.protocolError, 'A header block is interrupted');
    if (length > core.options.maxFrameSize)
      return core.refuseFrame(ErrorCode.frameSizeError, `A frame has ${length} bytes`);
    switch (type) {
      case FrameType.data:
        return this.#data.begin(reader);
      case FrameType.headers:
      case FrameType.continuation:
        return this.#headers.begin(reader);
      case FrameType.settings:
        return this.#control.beginSettings(reader);
      case FrameType.windowUpdate:
      case FrameType.resetStream:
      case FrameType.ping:
      case FrameType.goaway:
        return this.#control.begin(reader);
      case FrameType.priority:
        return this.#control.ignorePriority(reader);
      case FrameType.pushPromise:
        return core.refuseFrame(ErrorCode.protocolError, 'PUSH_PROMISE was not allowed');
      default:
        // Unknown types must be ignored (RFC 9113 section 4.1), but not any number of them.
        core.spend(core.guards.ignoredFrames);
        return Delivery.skip;
    }
  }

  onPayloadPart(bytes: Buffer, start: number, end: number): void {
    this.#data.take(bytes, start, end, this.#reader.length);
  }

  onPayload(bytes: Buffer, start: number, end: number): void {
    const reader = this.#reader;
    switch (reader.type) {
      case FrameType.headers:
      case FrameType.continuation:
        return this.#headers.take(reader, bytes, start, end);
      case FrameType.settings:
        return this.#onSettings(bytes, start, end);
      case FrameType.windowUpdate:
        return this.#control.onWindowUpdate(reader.streamId, readUint31(bytes, start));
      case FrameType.resetStream:
        return this.#control.onResetStream(reader.streamId, readUint32(bytes, start));
      case FrameType.ping:
        return this.#control.onPing((reader.flags & Flag.ack) !== 0, bytes, start);
      default:
        return this.#control.onGoaway(bytes, start, end);
    }
  }

  #onSettings(bytes: Buffer, start: number, end: number): void {
    const core = this.#core;
    if ((this.#reader.flags & Flag.ack) === 0) return this.#control.onSettings(bytes, start, end);
    // We send SETTINGS once.
    if (core.settingsAcked) return void core.spend(core.guards.ignoredFrames);
    this.#control.onSettingsAck();
    this.#headers.onSettingsAck();
  }

  #writeHeaders(streamId: number, headers: readonly Header[], endStream: boolean): boolean {
    const { writer, encoder, peer } = this.#core;
    for (const header of headers)
      if (!isSendable(header)) {
        const name = JSON.stringify(header[0]);
        throw new Error(`Header ${name} holds characters that must not be sent`);
      }
    return writer.headers({ streamId, headers, endStream }, encoder, peer.maxFrameSize);
  }
}

/** Is this an interim response (1xx)? Its status comes first, as pseudo headers do. */
function isInterim(headers: readonly Header[]): boolean {
  const first = headers[0];
  return first !== undefined && first[0] === ':status' && first[1].startsWith('1');
}
