import type { ConnectionCore } from './connection-core.ts';
import { ErrorCode, Flag } from './frame.ts';
import { Delivery, type FrameReader } from './frame-reader.ts';
import type { Http2Stream } from './stream-state.ts';

/** The DATA frame that is coming in, as plain data. */
export interface DataFrameState {
  /** Whose it is; 0 when its bytes are dropped. */
  readonly streamId: number;
  /** Bytes of data, without padding, that have not come in yet. */
  readonly left: number;
  readonly endStream: boolean;
  readonly padLengthMissing: boolean;
}

/**
 * Takes DATA frames (RFC 9113 section 6.1): counts them against the windows when they begin, and hands their
 * bytes on as they come in.
 */
export class DataReceiver {
  readonly #core: ConnectionCore;
  /** Undefined when the bytes are dropped; they still count for the connection. May have been closed meanwhile. */
  #stream: Http2Stream | undefined;
  #left = 0;
  #endStream = false;
  #padLengthMissing = false;

  constructor(core: ConnectionCore) {
    this.#core = core;
  }

  begin(reader: FrameReader): Delivery {
    const core = this.#core;
    const { streamId, length } = reader;
    if (streamId === 0) return core.refuseFrame(ErrorCode.protocolError, 'DATA on stream 0');
    core.receive.left -= length;
    if (core.receive.left < 0)
      return core.refuseFrame(ErrorCode.flowControlError, "DATA beyond the connection's window");
    const stream = core.streams.get(streamId);
    this.#stream = stream;
    this.#endStream = (reader.flags & Flag.endStream) !== 0;
    this.#padLengthMissing = (reader.flags & Flag.padded) !== 0;
    this.#left = 0;
    if (stream === undefined) this.#beginLate(streamId, length);
    else this.#beginOn(stream, length);
    if (core.faulted) return Delivery.skip;
    if (!this.#padLengthMissing) this.#beginContent(length);
    else if (length === 0)
      return core.refuseFrame(ErrorCode.frameSizeError, 'Padded DATA without a pad length');
    return Delivery.parts;
  }

  /** The next part of the payload. `frameLength`: of the whole frame. */
  // oxlint-disable-next-line max-params -- once per chunk: an object would be an allocation each
  take(bytes: Buffer, start: number, end: number, frameLength: number): void {
    let at = start;
    if (this.#padLengthMissing) this.#takePadLength(bytes[at++] ?? 0, frameLength);
    // What lies behind the data is padding, and has been accounted for.
    if (this.#left === 0 || at === end) return;
    const length = this.#left < end - at ? this.#left : end - at;
    this.#left -= length;
    const stream = this.#stream;
    if (stream === undefined || stream.closed) {
      this.#core.giveCredit(length);
      return;
    }
    stream.unconsumed += length;
    this.#deliver(stream, bytes, at, at + length);
  }

  export(): DataFrameState {
    const dropped = this.#stream === undefined || this.#stream.closed;
    return {
      streamId: dropped ? 0 : (this.#stream?.id ?? 0),
      left: this.#left,
      endStream: this.#endStream,
      padLengthMissing: this.#padLengthMissing,
    };
  }

  restore(state: DataFrameState): void {
    this.#stream = this.#core.streams.get(state.streamId);
    this.#left = state.left;
    this.#endStream = state.endStream;
    this.#padLengthMissing = state.padLengthMissing;
  }

  #beginOn(stream: Http2Stream, length: number): void {
    stream.receive.left -= length;
    if (stream.remoteEnded) this.#core.streamError(stream, ErrorCode.streamClosed);
    else if (!stream.headersSeen) this.#core.streamError(stream, ErrorCode.protocolError);
    else if (stream.receive.left < 0) this.#core.streamError(stream, ErrorCode.flowControlError);
  }

  /** DATA for a stream that is closed. Its bytes still count for the connection's window. */
  #beginLate(streamId: number, length: number): void {
    const core = this.#core;
    if (core.isIdle(streamId)) core.fault(ErrorCode.protocolError, 'DATA on an idle stream');
    else if (streamId > core.refuseAbove) return;
    else if (!core.closedStreams.has(streamId)) core.refuseStream(streamId, ErrorCode.streamClosed);
    else if (!core.closedStreams.takeWindow(streamId, length))
      core.fault(ErrorCode.flowControlError, "DATA beyond a closed stream's window");
  }

  #takePadLength(padLength: number, frameLength: number): void {
    const core = this.#core;
    this.#padLengthMissing = false;
    const content = frameLength - 1 - padLength;
    if (content < 0)
      return core.fault(ErrorCode.protocolError, 'DATA has more padding than payload');
    // Padding counts for the windows, and nobody else will consume it.
    if (this.#stream !== undefined) core.giveStreamCredit(this.#stream, 1 + padLength);
    core.giveCredit(1 + padLength);
    this.#beginContent(content);
  }

  /** It is known now how many bytes of data the frame carries. */
  #beginContent(length: number): void {
    const core = this.#core;
    this.#left = length;
    const overrun = core.guards.onDataReceived(length, this.#endStream);
    if (overrun !== undefined) return core.overrun(overrun);
    const stream = this.#stream;
    if (stream === undefined || stream.closed) return;
    if (stream.contentLeft >= 0) {
      stream.contentLeft -= length;
      if (stream.contentLeft < 0 || (this.#endStream && stream.contentLeft > 0))
        return core.streamError(stream, ErrorCode.protocolError);
    }
    if (length === 0 && this.#endStream) this.#deliver(stream, NOTHING, 0, 0);
  }

  // oxlint-disable-next-line max-params -- once per chunk: an object would be an allocation each
  #deliver(stream: Http2Stream, bytes: Buffer, start: number, end: number): void {
    const last = this.#endStream && this.#left === 0;
    if (last) this.#core.endRemote(stream);
    this.#core.events.onData(stream, bytes, start, end, last);
    if (last) this.#core.closeIfDone(stream);
  }
}

const NOTHING: Buffer = Buffer.alloc(0);
