import type { Http1Fault } from './faults.ts';
import { CARRIAGE_RETURN, HEX, LINE_FEED, SEMICOLON, VALUE } from './octets.ts';
import type { Http1Options } from './options.ts';

/** Leading zeros mean nothing, but whoever counts only so many digits would see another size. */
const SIZE_DIGITS_MAX = 16;

/**
 * Where the reader stands in the framing of a chunked body (RFC 9112 section 7.1).
 *
 *   size ──";"──▶ extension ──┐
 *    └────────CR──────────────┴▶ sizeEnd ──LF──▶ data ──all of it──▶ dataEnd ──CR──▶ dataEndLine ──LF──▶ size
 *                                     └──LF of size 0──▶ done (trailers follow)
 */
type ChunkStage = 'size' | 'extension' | 'sizeEnd' | 'data' | 'dataEnd' | 'dataEndLine' | 'done';

export interface ChunkReaderState {
  readonly stage: ChunkStage;
  readonly left: number;
  readonly digits: number;
  readonly extensionBytes: number;
}

/** Reads the framing between the data of chunks, byte by byte: there is little of it. The data is its user's. */
export class ChunkReader {
  stage: ChunkStage = 'size';
  /** Data bytes of this chunk that have not come in yet. */
  left = 0;
  fault: Http1Fault | undefined;
  readonly #chunkBytesMax: number;
  readonly #extensionBytesMax: number;
  #digits = 0;
  /** Of all chunks of this body. */
  #extensionBytes = 0;

  constructor(options: Required<Http1Options>) {
    this.#chunkBytesMax = options.maxChunkBytes;
    this.#extensionBytesMax = options.maxChunkExtensionBytes;
  }

  /** A new body begins. */
  begin(): void {
    this.stage = 'size';
    this.left = 0;
    this.#digits = 0;
    this.#extensionBytes = 0;
    this.fault = undefined;
  }

  /** Reads on until data begins, or the trailers (`done`), or a fault. Returns where it stopped. */
  read(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && this.stage !== 'data' && this.stage !== 'done') {
      this.fault = this.#take(bytes[at] ?? 0);
      if (this.fault !== undefined) return at;
      at++;
    }
    return at;
  }

  /** So many bytes of data have been taken. */
  onData(length: number): void {
    this.left -= length;
    if (this.left === 0) this.stage = 'dataEnd';
  }

  export(): ChunkReaderState {
    return {
      stage: this.stage,
      left: this.left,
      digits: this.#digits,
      extensionBytes: this.#extensionBytes,
    };
  }

  restore(state: ChunkReaderState): void {
    this.stage = state.stage;
    this.left = state.left;
    this.#digits = state.digits;
    this.#extensionBytes = state.extensionBytes;
  }

  #take(byte: number): Http1Fault | undefined {
    switch (this.stage) {
      case 'size':
        return this.#takeSize(byte);
      case 'extension':
        return this.#takeExtension(byte);
      case 'sizeEnd':
        if (byte !== LINE_FEED) return 'bareCarriageReturn';
        this.stage = this.left === 0 ? 'done' : 'data';
        return undefined;
      case 'dataEnd':
        if (byte !== CARRIAGE_RETURN) return 'invalidChunkEnd';
        this.stage = 'dataEndLine';
        return undefined;
      case 'dataEndLine':
        if (byte !== LINE_FEED) return 'invalidChunkEnd';
        this.stage = 'size';
        this.#digits = 0;
        return undefined;
      case 'data':
      case 'done':
        // read() stops before.
        return undefined;
    }
  }

  #takeSize(byte: number): Http1Fault | undefined {
    const digit = HEX[byte] ?? 255;
    if (digit !== 255) {
      this.left = this.left * 16 + digit;
      const tooLarge = ++this.#digits > SIZE_DIGITS_MAX || this.left > this.#chunkBytesMax;
      return tooLarge ? 'chunkTooLarge' : undefined;
    }
    if (this.#digits === 0) return 'invalidChunkSize';
    if (byte === LINE_FEED) return 'bareLineFeed';
    if (byte === CARRIAGE_RETURN) this.stage = 'sizeEnd';
    else if (byte === SEMICOLON) return this.#countExtension();
    else return 'invalidChunkSize';
    return undefined;
  }

  #takeExtension(byte: number): Http1Fault | undefined {
    if (byte === CARRIAGE_RETURN) {
      this.stage = 'sizeEnd';
      return undefined;
    }
    if (byte === LINE_FEED) return 'bareLineFeed';
    return VALUE[byte] === 1 ? this.#countExtension() : 'invalidChunkExtension';
  }

  #countExtension(): Http1Fault | undefined {
    this.stage = 'extension';
    const tooLarge = ++this.#extensionBytes > this.#extensionBytesMax;
    return tooLarge ? 'chunkExtensionsTooLarge' : undefined;
  }
}
