import { DynamicTable } from './dynamic-table.ts';
import { FIELD_OVERHEAD, type Header } from './field.ts';
import { huffmanEncode, huffmanLength } from './huffman.ts';
import { STATIC_COUNT, STATIC_NAMES } from './static-table.ts';

/** Everything that an encoder knows, as plain data. */
export interface HpackEncoderState {
  readonly huffman: boolean;
  readonly maxSize: number;
  readonly smallestSize: number;
  readonly announcedSize: number;
  /** Oldest first. */
  readonly entries: readonly Header[];
}

/**
 * The largest table that we keep, whatever the peer allows: its default (RFC 9113 section 6.5.2). More would
 * cost memory on every connection and save nothing for the few kinds of requests that a tunnel carries.
 */
const TABLE_SIZE_MAX = 4096;

/** A size update opens a block at most twice, each with at most 6 bytes. */
const SIZE_UPDATES_LENGTH_MAX = 12;

/** Bytes around the two texts of a literal: the prefix and two lengths, at most 5 bytes each. */
const LITERAL_OVERHEAD_MAX = 15;

/** Secrets must not enter a table that a later guess could be compared with (RFC 7541 section 7.1.3). */
const SECRET_NAMES: ReadonlySet<string> = new Set([
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
]);

/** Values of these differ from request to request: they would only drive useful entries out of the table. */
const FLEETING_NAMES: ReadonlySet<string> = new Set([
  ':path',
  'age',
  'content-length',
  'etag',
  'forwarded',
  'if-modified-since',
  'if-none-match',
  'location',
  'traceparent',
  'tracestate',
  'x-request-id',
]);

interface Entry {
  readonly header: Header;
  readonly size: number;
  /** Number of this addition, counted from 1. */
  readonly addition: number;
  /** The previous addition with the same name, 0 if none; it may be evicted by now. */
  readonly previous: number;
}

/** Encodes header blocks (RFC 7541), straight into the output. */
export class HpackEncoder {
  readonly #table: DynamicTable<Entry>;
  readonly #huffman: boolean;
  #additions = 0;
  /** By name: the last addition with it. Made with the first addition, as many connections never have one. */
  #latest: Map<string, number> | undefined;
  /** The smallest size that the peer has asked for since the last block. */
  #smallestSize: number;
  /** The size that the peer knows of. */
  #announcedSize: number;

  constructor(huffman: boolean) {
    this.#huffman = huffman;
    this.#table = new DynamicTable(TABLE_SIZE_MAX);
    this.#smallestSize = TABLE_SIZE_MAX;
    this.#announcedSize = TABLE_SIZE_MAX;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. The next block says what came of it. */
  setPeerLimit(limit: number): void {
    const size = Math.min(limit, TABLE_SIZE_MAX);
    this.#table.maxSize = size;
    this.#smallestSize = Math.min(this.#smallestSize, size);
    while (this.#table.size > size) this.#evict();
  }

  /** Room that {@link encode} can need for these headers. */
  lengthMax(headers: readonly Header[]): number {
    let length = SIZE_UPDATES_LENGTH_MAX;
    for (const [name, value] of headers)
      length += name.length + value.length + LITERAL_OVERHEAD_MAX;
    return length;
  }

  /** Writes the block at `at` and returns its end. The caller made room for `lengthMax(headers)`. */
  encode(headers: readonly Header[], bytes: Buffer, at: number): number {
    let position = at;
    if (this.#smallestSize < this.#announcedSize || this.#table.maxSize !== this.#announcedSize)
      position = this.#writeSizeUpdates(bytes, position);
    for (const header of headers) position = this.#writeField(header, bytes, position);
    return position;
  }

  export(): HpackEncoderState {
    return {
      huffman: this.#huffman,
      maxSize: this.#table.maxSize,
      smallestSize: this.#smallestSize,
      announcedSize: this.#announcedSize,
      entries: this.#table.entries().map((entry) => entry.header),
    };
  }

  static restore(state: HpackEncoderState): HpackEncoder {
    const encoder = new HpackEncoder(state.huffman);
    encoder.#table.maxSize = state.maxSize;
    encoder.#smallestSize = state.smallestSize;
    encoder.#announcedSize = state.announcedSize;
    for (const header of state.entries) encoder.#add(header);
    return encoder;
  }

  #writeSizeUpdates(bytes: Buffer, at: number): number {
    const size = this.#table.maxSize;
    let position = at;
    // The peer must learn that entries fell out at the smallest size, even if the table may be larger again.
    if (this.#smallestSize < size)
      position = writeInteger(bytes, position, 0x20, 5, this.#smallestSize);
    position = writeInteger(bytes, position, 0x20, 5, size);
    this.#smallestSize = size;
    this.#announcedSize = size;
    return position;
  }

  #writeField(header: Header, bytes: Buffer, at: number): number {
    const [name, value] = header;
    const fixed = STATIC_NAMES.get(name);
    let nameIndex = 0;
    if (fixed !== undefined) {
      nameIndex = fixed.index;
      const match = fixed.values.indexOf(value);
      if (match >= 0) return writeInteger(bytes, at, 0x80, 7, nameIndex + match);
    }
    if (SECRET_NAMES.has(name)) return this.#writeLiteral(header, 0x10, 4, nameIndex, bytes, at);
    let addition = this.#latest?.get(name) ?? 0;
    for (let entry = this.#entry(addition); entry !== undefined; entry = this.#entry(addition)) {
      const index = STATIC_COUNT + 1 + this.#additions - addition;
      if (entry.header[1] === value) return writeInteger(bytes, at, 0x80, 7, index);
      if (nameIndex === 0) nameIndex = index;
      addition = entry.previous;
    }
    const size = name.length + value.length + FIELD_OVERHEAD;
    // An entry of that size would leave no room for others.
    if (FLEETING_NAMES.has(name) || size > this.#table.maxSize >>> 1)
      return this.#writeLiteral(header, 0, 4, nameIndex, bytes, at);
    const end = this.#writeLiteral(header, 0x40, 6, nameIndex, bytes, at);
    this.#add(header);
    return end;
  }

  /** The entry of an addition, if it still is in the table. */
  #entry(addition: number): Entry | undefined {
    return addition === 0 ? undefined : this.#table.get(this.#additions - addition);
  }

  #add(header: Header): void {
    const [name, value] = header;
    const size = name.length + value.length + FIELD_OVERHEAD;
    while (this.#table.size + size > this.#table.maxSize) this.#evict();
    this.#latest ??= new Map();
    const previous = this.#latest.get(name) ?? 0;
    this.#additions++;
    this.#table.add({ header, size, addition: this.#additions, previous });
    this.#latest.set(name, this.#additions);
  }

  #evict(): void {
    const entry = this.#table.evict();
    if (entry !== undefined && this.#latest?.get(entry.header[0]) === entry.addition)
      this.#latest.delete(entry.header[0]);
  }

  // oxlint-disable-next-line max-params -- one call per field; an object would be an allocation each
  #writeLiteral(
    header: Header,
    pattern: number,
    bits: number,
    nameIndex: number,
    bytes: Buffer,
    at: number,
  ): number {
    let position = writeInteger(bytes, at, pattern, bits, nameIndex);
    if (nameIndex === 0) position = this.#writeString(header[0], bytes, position);
    return this.#writeString(header[1], bytes, position);
  }

  #writeString(text: string, bytes: Buffer, at: number): number {
    if (this.#huffman) {
      const length = huffmanLength(text);
      if (length < text.length)
        return huffmanEncode(text, bytes, writeInteger(bytes, at, 0x80, 7, length));
    }
    const position = writeInteger(bytes, at, 0, 7, text.length);
    return position + bytes.write(text, position, 'latin1');
  }
}

/** Writes an integer with a prefix of so many bits (RFC 7541 section 5.1). Returns the end. */
// oxlint-disable-next-line max-params -- as above
function writeInteger(
  bytes: Buffer,
  at: number,
  pattern: number,
  bits: number,
  value: number,
): number {
  const mask = (1 << bits) - 1;
  if (value < mask) {
    bytes[at] = pattern | value;
    return at + 1;
  }
  bytes[at] = pattern | mask;
  let position = at + 1;
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) bytes[position++] = (rest & 0x7f) | 0x80;
  bytes[position++] = rest;
  return position;
}
