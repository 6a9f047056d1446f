/**
 * Where bytes are appended: from `end` on, never at or behind `limit`. What does not fit sets `overflowed` and is
 * left out, as is everything after it; who began the message goes back with {@link ByteOutput.undo}. One per
 * worker is enough: it is pointed at the memory of the moment.
 */
export class ByteOutput {
  bytes: Buffer = NOTHING;
  end = 0;
  limit = 0;
  overflowed = false;

  /** `bytes[end, limit)` is free. */
  point(bytes: Buffer, end: number, limit: number): this {
    this.bytes = bytes;
    this.end = end;
    this.limit = limit < bytes.length ? limit : bytes.length;
    this.overflowed = false;
    return this;
  }

  get room(): number {
    return this.limit - this.end;
  }

  /** Back to `end`, when something did not fit. Returns whether everything did. */
  undo(end: number): boolean {
    if (!this.overflowed) return true;
    this.end = end;
    this.overflowed = false;
    return false;
  }

  copy(source: Buffer, start: number, end: number): void {
    const length = end - start;
    if (!this.#take(length)) return;
    if (length > COPY_MIN) source.copy(this.bytes, this.end - length, start, end);
    else for (let i = 1; i <= length; i++) this.bytes[this.end - i] = source[end - i] ?? 0;
  }

  /** Latin1 text: one character is one byte. */
  text(text: string): void {
    const { length } = text;
    if (!this.#take(length)) return;
    if (length > COPY_MIN) this.bytes.write(text, this.end - length, length, 'latin1');
    else for (let i = 0; i < length; i++) this.bytes[this.end - length + i] = text.charCodeAt(i);
  }

  byte(value: number): void {
    if (this.#take(1)) this.bytes[this.end - 1] = value;
  }

  /** `value` in hexadecimal digits. */
  hexadecimal(value: number): void {
    this.text(value.toString(16));
  }

  field(name: string, value: string): void {
    this.text(name);
    this.text(': ');
    this.text(value);
    this.text('\r\n');
  }

  #take(length: number): boolean {
    // Once something is missing, nothing behind it may be written.
    if (this.overflowed || this.end + length > this.limit) {
      this.overflowed = true;
      return false;
    }
    this.end += length;
    return true;
  }
}

/** Below this a loop is faster than the call. */
const COPY_MIN = 24;

const NOTHING: Buffer = Buffer.alloc(0);
