import type { Header } from '#codec/http2/field.ts';
import { invariant } from '#common/assert.ts';

import type { ByteOutput } from './byte-output.ts';
import { type BodyFraming, Head } from './head.ts';
import { writeFields } from './write.ts';
import { writeTrailers } from './write-headers.ts';

/** Eight hexadecimal digits and CRLF before a chunk, CRLF behind it. */
const CHUNK_OVERHEAD = 12;
/** A chunk has at most so many bytes: what eight digits can say, far below the limits of any receiver. */
const CHUNK_BYTES_MAX = 2 ** 31 - 1;

export interface BodyWriterState {
  readonly framing: BodyFraming;
  readonly left: number;
  readonly ended: boolean;
}

/** The outgoing body of one message: frames it again, in the way that its head has announced. */
export class BodyWriter {
  framing: BodyFraming = 'none';
  /** Bytes that content-length still promises. */
  left = 0;
  ended = true;

  /** `length`: with the framing `length`. */
  begin(framing: BodyFraming, length: number): void {
    this.framing = framing;
    this.left = framing === 'length' ? length : 0;
    this.ended = false;
  }

  /**
   * Appends as much of `bytes[start, end)` as fits, as one chunk if it is chunked. Returns up to where; `start` when
   * there is no room, and `end` for what has no place in the message (after a HEAD, say).
   */
  write(output: ByteOutput, bytes: Buffer, start: number, end: number): number {
    if (this.framing === 'none' || this.ended || start === end) return end;
    const { room } = output;
    if (this.framing !== 'chunked') {
      const length = Math.min(end - start, room);
      this.#spend(length);
      output.copy(bytes, start, start + length);
      return start + length;
    }
    const length = Math.min(end - start, room - CHUNK_OVERHEAD, CHUNK_BYTES_MAX);
    if (length <= 0) return start;
    this.beginChunk(output, length);
    output.copy(bytes, start, start + length);
    this.endChunk(output);
    return start + length;
  }

  /**
   * What goes before `length` bytes that are sent from where they lie: nothing unless the body is chunked. False
   * when there is no room. `length` is above 0, and not above what content-length has left.
   */
  beginChunk(output: ByteOutput, length: number): boolean {
    this.#spend(length);
    if (this.framing !== 'chunked') return true;
    const begin = output.end;
    output.hexadecimal(length);
    output.text('\r\n');
    return output.undo(begin);
  }

  /** What goes behind them. */
  endChunk(output: ByteOutput): boolean {
    if (this.framing !== 'chunked') return true;
    const begin = output.end;
    output.text('\r\n');
    return output.undo(begin);
  }

  /**
   * Ends the body, with trailers where the framing can carry them: they are dropped elsewhere (RFC 9110 section
   * 6.5.1). False when there is no room. Whether the promise of content-length was kept says `left`.
   */
  end(output: ByteOutput, trailers: Head | readonly Header[] | undefined): boolean {
    if (this.ended) return true;
    if (this.framing === 'chunked') {
      const begin = output.end;
      output.text('0\r\n');
      if (trailers instanceof Head) writeFields(output, trailers, undefined, false);
      else if (trailers !== undefined) writeTrailers(output, trailers);
      output.text('\r\n');
      if (!output.undo(begin)) return false;
    }
    this.ended = true;
    return true;
  }

  export(): BodyWriterState {
    return { framing: this.framing, left: this.left, ended: this.ended };
  }

  restore(state: BodyWriterState): void {
    this.framing = state.framing;
    this.left = state.left;
    this.ended = state.ended;
  }

  #spend(length: number): void {
    if (this.framing !== 'length') return;
    // Whoever read the body counted it: more than this would be the beginning of the next message.
    invariant(length <= this.left, 'a body is longer than its content-length');
    this.left -= length;
  }
}
