import type { Header } from './field.ts';
import {
  Flag,
  FRAME_HEADER_LENGTH,
  FrameType,
  PING_LENGTH,
  PREFACE,
  typeAndFlags,
  writeFrameHeader,
  writeNumberFrame,
  writeUint32,
} from './frame.ts';
import type { HpackEncoder } from './hpack-encoder.ts';
import { SETTINGS_LENGTH_MAX, type Settings, writeSettings } from './settings.ts';

/** A staging area that its owner empties. */
export interface OutputSpace {
  /**
   * Makes room for `length` more bytes after `end`; the owner may flush for that, or put other memory in
   * place of `bytes`. False: it cannot be had now. Asked before every frame, also when there is room, so that
   * the owner learns that there will be something to flush.
   *
   * Refused DATA, requests and window updates can be tried again (`flushCredit()` for the last). A refused
   * answer or reset is the end of the connection: so an owner stages DATA only as long as it can also send, and
   * refuses a control frame only when a peer that reads nothing has made too many of them.
   */
  reserve(length: number): boolean;
}

/** Where a connection appends its frames, at `end`. */
export interface Http2Output extends OutputSpace {
  bytes: Buffer;
  end: number;
}

/** Debug text of a GOAWAY: a sentence, not a leak. */
const DEBUG_LENGTH_MAX = 200;

const DATA = typeAndFlags(FrameType.data, 0);
const DATA_END = typeAndFlags(FrameType.data, Flag.endStream);

/** Appends frames to an output. Every method returns false, and has written nothing, when there is no room. */
export class FrameWriter {
  readonly #output: Http2Output;

  constructor(output: Http2Output) {
    this.#output = output;
  }

  /** The header of a DATA frame whose payload already lies behind it. */
  commitData(streamId: number, length: number, endStream: boolean): void {
    const output = this.#output;
    writeFrameHeader(output.bytes, output.end, length, endStream ? DATA_END : DATA, streamId);
    output.end += FRAME_HEADER_LENGTH + length;
  }

  preface(): boolean {
    const output = this.#output;
    if (!output.reserve(PREFACE.length)) return false;
    output.end += PREFACE.copy(output.bytes, output.end);
    return true;
  }

  settings(settings: Readonly<Settings>): boolean {
    const output = this.#output;
    if (!output.reserve(FRAME_HEADER_LENGTH + SETTINGS_LENGTH_MAX)) return false;
    const payload = output.end + FRAME_HEADER_LENGTH;
    const end = writeSettings(settings, output.bytes, payload);
    const type = typeAndFlags(FrameType.settings, 0);
    writeFrameHeader(output.bytes, output.end, end - payload, type, 0);
    output.end = end;
    return true;
  }

  settingsAck(): boolean {
    const output = this.#output;
    if (!output.reserve(FRAME_HEADER_LENGTH)) return false;
    const type = typeAndFlags(FrameType.settings, Flag.ack);
    writeFrameHeader(output.bytes, output.end, 0, type, 0);
    output.end += FRAME_HEADER_LENGTH;
    return true;
  }

  /** The payload is `bytes[at, at + 8)`. */
  ping(ack: boolean, bytes: Buffer, at: number): boolean {
    const output = this.#output;
    if (!output.reserve(FRAME_HEADER_LENGTH + PING_LENGTH)) return false;
    const type = typeAndFlags(FrameType.ping, ack ? Flag.ack : 0);
    writeFrameHeader(output.bytes, output.end, PING_LENGTH, type, 0);
    bytes.copy(output.bytes, output.end + FRAME_HEADER_LENGTH, at, at + PING_LENGTH);
    output.end += FRAME_HEADER_LENGTH + PING_LENGTH;
    return true;
  }

  resetStream(streamId: number, code: number): boolean {
    return this.#number(FrameType.resetStream, streamId, code);
  }

  windowUpdate(streamId: number, increment: number): boolean {
    return this.#number(FrameType.windowUpdate, streamId, increment);
  }

  goaway(lastStreamId: number, code: number, debug: string): boolean {
    const output = this.#output;
    const text = debug.slice(0, DEBUG_LENGTH_MAX);
    const length = 8 + text.length;
    if (!output.reserve(FRAME_HEADER_LENGTH + length)) return false;
    const { bytes, end } = output;
    writeFrameHeader(bytes, end, length, typeAndFlags(FrameType.goaway, 0), 0);
    writeUint32(bytes, end + 9, lastStreamId);
    writeUint32(bytes, end + 13, code);
    bytes.write(text, end + 17, 'latin1');
    output.end += FRAME_HEADER_LENGTH + length;
    return true;
  }

  /** One HEADERS frame, followed by CONTINUATION frames when the block is larger than the peer's frames. */
  headers(block: HeadersToWrite, encoder: HpackEncoder, frameMax: number): boolean {
    const output = this.#output;
    const most = encoder.lengthMax(block.headers);
    if (most > frameMax) return this.#longHeaders(block, encoder, frameMax);
    if (!output.reserve(FRAME_HEADER_LENGTH + most)) return false;
    const { bytes, end } = output;
    const payload = end + FRAME_HEADER_LENGTH;
    const blockEnd = encoder.encode(block.headers, bytes, payload);
    const flags = Flag.endHeaders | (block.endStream ? Flag.endStream : 0);
    const type = typeAndFlags(FrameType.headers, flags);
    writeFrameHeader(bytes, end, blockEnd - payload, type, block.streamId);
    output.end = blockEnd;
    return true;
  }

  #longHeaders(block: HeadersToWrite, encoder: HpackEncoder, frameMax: number): boolean {
    const output = this.#output;
    const most = encoder.lengthMax(block.headers);
    // Room is made first: once the encoder has run, its table counts on the block being sent.
    if (!output.reserve(most + Math.ceil(most / frameMax) * FRAME_HEADER_LENGTH)) return false;
    const coded = Buffer.allocUnsafe(most);
    const length = encoder.encode(block.headers, coded, 0);
    let type: number = FrameType.headers;
    let flags: number = block.endStream ? Flag.endStream : 0;
    for (let at = 0; at < length; at += frameMax) {
      const end = Math.min(length, at + frameMax);
      if (end === length) flags |= Flag.endHeaders;
      writeFrameHeader(
        output.bytes,
        output.end,
        end - at,
        typeAndFlags(type, flags),
        block.streamId,
      );
      coded.copy(output.bytes, output.end + FRAME_HEADER_LENGTH, at, end);
      output.end += FRAME_HEADER_LENGTH + end - at;
      type = FrameType.continuation;
      flags = 0;
    }
    return true;
  }

  #number(type: number, streamId: number, value: number): boolean {
    const output = this.#output;
    if (!output.reserve(FRAME_HEADER_LENGTH + 4)) return false;
    output.end = writeNumberFrame(output.bytes, output.end, type, streamId, value);
    return true;
  }
}

export interface HeadersToWrite {
  readonly streamId: number;
  readonly headers: readonly Header[];
  readonly endStream: boolean;
}
