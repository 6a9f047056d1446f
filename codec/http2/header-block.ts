/**
 * Frames that one header block may be cut into, beyond one per KiB of the largest block. An honest peer fills
 * its frames, whose smallest limit is 16 KiB.
 */
const CONTINUATIONS_EXTRA = 16;
const BYTES_PER_CONTINUATION = 1024;

/** A header block that waits for its next CONTINUATION, as plain data. */
export interface HeaderBlockState {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly continuations: number;
  readonly bytes: Uint8Array;
}

/**
 * Knows which header block is coming in, and puts its fragments together (RFC 9113 section 4.3). Holds no
 * memory for a block that has only one.
 */
export class HeaderBlock {
  readonly #lengthMax: number;
  /** The stream whose block is unfinished; 0 when there is none. */
  streamId = 0;
  endStream = false;
  bytes: Buffer = NOTHING;
  length = 0;
  #continuations = 0;

  /** `lengthMax`: coded bytes, all fragments together. */
  constructor(lengthMax: number) {
    this.#lengthMax = lengthMax;
  }

  begin(streamId: number, endStream: boolean): void {
    this.streamId = streamId;
    this.endStream = endStream;
    this.length = 0;
    this.#continuations = 0;
  }

  /** May a CONTINUATION of this length follow? Asked before its payload is taken. */
  admits(length: number): boolean {
    this.#continuations++;
    return (
      this.length + length <= this.#lengthMax &&
      this.#continuations <= CONTINUATIONS_EXTRA + this.#lengthMax / BYTES_PER_CONTINUATION
    );
  }

  append(bytes: Buffer, start: number, end: number): void {
    const length = this.length + end - start;
    if (length > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(
        Math.min(this.#lengthMax, Math.max(length, 2 * this.bytes.length)),
      );
      this.bytes.copy(larger, 0, 0, this.length);
      this.bytes = larger;
    }
    bytes.copy(this.bytes, this.length, start, end);
    this.length = length;
  }

  /** The block is done: forgets it and its memory. */
  finish(): void {
    this.streamId = 0;
    this.bytes = NOTHING;
    this.length = 0;
  }

  export(): HeaderBlockState | undefined {
    if (this.streamId === 0) return undefined;
    return {
      streamId: this.streamId,
      endStream: this.endStream,
      continuations: this.#continuations,
      bytes: Uint8Array.from(this.bytes.subarray(0, this.length)),
    };
  }

  restore(state: HeaderBlockState): void {
    this.begin(state.streamId, state.endStream);
    this.append(Buffer.from(state.bytes), 0, state.bytes.length);
    this.#continuations = state.continuations;
  }
}

const NOTHING: Buffer = Buffer.alloc(0);
