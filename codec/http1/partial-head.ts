import { Head, type HeadKind } from './head.ts';
import { LINE_FEED } from './octets.ts';
import { beginHead, type ParseResult, parseHead } from './parse-head.ts';

/** What a first buffer holds at least: most heads that come in two pieces fit. */
const BUFFER_MIN = 1024;

/** A head that came in several pieces: they are copied together. Exists only until the head is complete. */
export class PartialHead {
  readonly head: Head;
  readonly #limit: number;
  #bytes: Buffer;
  #length = 0;

  /** `limit`: bytes that the head may have. */
  constructor(kind: HeadKind, limit: number) {
    this.#limit = limit;
    this.#bytes = Buffer.allocUnsafeSlow(Math.min(limit, BUFFER_MIN));
    this.head = new Head(kind);
    beginHead(this.head, this.#bytes, 0);
  }

  get length(): number {
    return this.#length;
  }

  /** No more may be added: the head is too large. */
  get full(): boolean {
    return this.#length === this.#limit;
  }

  /**
   * Adds what may still belong to the head, and parses when a line has become complete. Returns how much of
   * `bytes[start, end)` was taken, what lies behind the head not counted.
   */
  add(bytes: Buffer, start: number, end: number): { result: ParseResult; taken: number } {
    const taken = Math.min(end - start, this.#limit - this.#length);
    this.#makeRoom(this.#length + taken);
    bytes.copy(this.#bytes, this.#length, start, start + taken);
    const added = this.#length;
    this.#length += taken;
    if (!hasLineFeed(this.#bytes, added, this.#length)) return { result: 'incomplete', taken };
    const result = parseHead(this.head, this.#length);
    if (result === 'complete') return { result, taken: taken - (this.#length - this.head.end) };
    if (result === 'incomplete') this.#dropEmptyLines();
    return { result, taken };
  }

  /** A copy of what has come in. */
  export(): Uint8Array {
    return Uint8Array.from(this.#bytes.subarray(0, this.#length));
  }

  /** Empty lines before a request do not count. */
  #dropEmptyLines(): void {
    const { head } = this;
    if (head.startLineDone || head.start === 0) return;
    this.#bytes.copyWithin(0, head.start, this.#length);
    this.#length -= head.start;
    beginHead(head, this.#bytes, 0);
  }

  #makeRoom(length: number): void {
    if (length <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(
      Math.min(this.#limit, Math.max(length, 2 * this.#bytes.length)),
    );
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
    this.head.bytes = larger;
  }
}

function hasLineFeed(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] === LINE_FEED) return true;
  return false;
}
