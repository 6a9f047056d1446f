import { FRAME_HEADER_LENGTH, PREFACE, readUint31 } from './frame.ts';

/** How the payload of a frame is to be handed on. */
export const Delivery = {
  /** In one piece. It is copied together when it comes in several, so its length must be bounded before. */
  whole: 0,
  /** As it comes. */
  parts: 1,
  /** Not at all. */
  skip: 2,
} as const;
export type Delivery = (typeof Delivery)[keyof typeof Delivery];

/** Takes the frames that a {@link FrameReader} cuts out of the bytes. */
export interface FrameSink {
  /** Set to end the work at once: the rest of the input is not looked at. */
  readonly finished: boolean;
  /** A frame begins: `reader` has its type, flags, streamId and length. */
  onFrameHeader(reader: FrameReader): Delivery;
  /** The next part of the payload; `reader.left` bytes follow. Never empty. */
  onPayloadPart(bytes: Buffer, start: number, end: number): void;
  /** The whole payload. */
  onPayload(bytes: Buffer, start: number, end: number): void;
  /** The first bytes are not those of an HTTP/2 client. */
  onBadPreface(): void;
}

/** A reader between two chunks, as plain data. */
export interface FrameReaderState {
  readonly prefaceLeft: number;
  /** The beginning of a frame header that was cut off. */
  readonly header: Uint8Array;
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly length: number;
  readonly left: number;
  readonly delivery: Delivery;
  /** The beginning of a payload that is wanted in one piece. */
  readonly collected: Uint8Array;
}

/** Cuts a stream of bytes into frames, wherever its chunks begin and end. Keeps no buffer between whole frames. */
export class FrameReader {
  type = 0;
  flags = 0;
  streamId = 0;
  /** Of the payload, padding included. */
  length = 0;
  /** Payload bytes that have not come in yet. */
  left = 0;
  #prefaceLeft: number;
  #delivery: Delivery = Delivery.skip;
  #header: Buffer = NOTHING;
  #headerLength = 0;
  #collected: Buffer = NOTHING;

  /** With `preface`: the bytes begin with the client's preface. */
  constructor(preface: boolean) {
    this.#prefaceLeft = preface ? PREFACE.length : 0;
  }

  read(bytes: Buffer, start: number, end: number, sink: FrameSink): void {
    let at = this.#prefaceLeft > 0 ? this.#readPreface(bytes, start, end, sink) : start;
    while (at < end && !sink.finished) {
      if (this.left > 0) at = this.#readPayload(bytes, at, end, sink);
      else if (this.#headerLength === 0 && end - at >= FRAME_HEADER_LENGTH) {
        this.#beginFrame(bytes, at, sink);
        at += FRAME_HEADER_LENGTH;
      } else at = this.#readHeaderPart(bytes, at, end, sink);
    }
  }

  export(): FrameReaderState {
    return {
      prefaceLeft: this.#prefaceLeft,
      header: Uint8Array.from(this.#header.subarray(0, this.#headerLength)),
      type: this.type,
      flags: this.flags,
      streamId: this.streamId,
      length: this.length,
      left: this.left,
      delivery: this.#delivery,
      collected: Uint8Array.from(this.#collected.subarray(0, this.length - this.left)),
    };
  }

  static restore(state: FrameReaderState): FrameReader {
    const reader = new FrameReader(false);
    reader.#prefaceLeft = state.prefaceLeft;
    reader.type = state.type;
    reader.flags = state.flags;
    reader.streamId = state.streamId;
    reader.length = state.length;
    reader.left = state.left;
    reader.#delivery = state.delivery;
    if (state.header.length > 0) {
      reader.#header = Buffer.allocUnsafeSlow(FRAME_HEADER_LENGTH);
      reader.#header.set(state.header);
      reader.#headerLength = state.header.length;
    }
    if (state.collected.length > 0) {
      reader.#collected = Buffer.allocUnsafeSlow(state.length);
      reader.#collected.set(state.collected);
    }
    return reader;
  }

  #readPreface(bytes: Buffer, start: number, end: number, sink: FrameSink): number {
    let at = start;
    for (; at < end && this.#prefaceLeft > 0; at++, this.#prefaceLeft--)
      if (bytes[at] !== PREFACE[PREFACE.length - this.#prefaceLeft]) {
        sink.onBadPreface();
        return end;
      }
    return at;
  }

  #readHeaderPart(bytes: Buffer, at: number, end: number, sink: FrameSink): number {
    if (this.#headerLength === 0) this.#header = Buffer.allocUnsafeSlow(FRAME_HEADER_LENGTH);
    const taken = Math.min(FRAME_HEADER_LENGTH - this.#headerLength, end - at);
    bytes.copy(this.#header, this.#headerLength, at, at + taken);
    this.#headerLength += taken;
    if (this.#headerLength === FRAME_HEADER_LENGTH) {
      const header = this.#header;
      this.#header = NOTHING;
      this.#headerLength = 0;
      this.#beginFrame(header, 0, sink);
    }
    return at + taken;
  }

  #beginFrame(bytes: Buffer, at: number, sink: FrameSink): void {
    this.length = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    this.type = bytes[at + 3] ?? 0;
    this.flags = bytes[at + 4] ?? 0;
    this.streamId = readUint31(bytes, at + 5);
    this.left = this.length;
    this.#delivery = sink.onFrameHeader(this);
    if (this.length === 0 && this.#delivery === Delivery.whole && !sink.finished)
      sink.onPayload(NOTHING, 0, 0);
  }

  #readPayload(bytes: Buffer, start: number, end: number, sink: FrameSink): number {
    const taken = this.left < end - start ? this.left : end - start;
    if (this.#delivery === Delivery.whole) this.#readWhole(bytes, start, taken, sink);
    else {
      this.left -= taken;
      if (this.#delivery === Delivery.parts) sink.onPayloadPart(bytes, start, start + taken);
    }
    return start + taken;
  }

  #readWhole(bytes: Buffer, start: number, taken: number, sink: FrameSink): void {
    const had = this.length - this.left;
    this.left -= taken;
    if (taken === this.length) {
      sink.onPayload(bytes, start, start + taken);
      return;
    }
    if (had === 0) this.#collected = Buffer.allocUnsafeSlow(this.length);
    bytes.copy(this.#collected, had, start, start + taken);
    if (this.left > 0) return;
    const payload = this.#collected;
    this.#collected = NOTHING;
    sink.onPayload(payload, 0, payload.length);
  }
}

const NOTHING: Buffer = Buffer.alloc(0);
