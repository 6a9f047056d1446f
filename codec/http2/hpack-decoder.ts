import { DynamicTable } from './dynamic-table.ts';
import {
  type Field,
  FieldKind,
  type Header,
  isNameBytes,
  isValueBytes,
  makeField,
} from './field.ts';
import { huffmanDecode, huffmanDecodedMax } from './huffman.ts';
import { STATIC_COUNT, STATIC_FIELDS } from './static-table.ts';

/** Takes the fields of a header block in order. It sees every field, also after it has had enough. */
export interface FieldSink {
  addField(field: Field): void;
}

/** Everything that a decoder knows, as plain data. */
export interface HpackDecoderState {
  readonly limit: number;
  readonly maxSize: number;
  readonly mustShrink: boolean;
  /** Oldest first. */
  readonly entries: readonly Header[];
}

/** Size updates that may open a block: one to the smallest size in between, one to the last (RFC 7541 section 4.2). */
const SIZE_UPDATES_MAX = 2;

/** No length or index of a real block comes near; a larger number is an attempt to overflow. */
const INTEGER_MAX = 0x0fff_ffff;

/**
 * Decodes header blocks (RFC 7541). Whether a field is allowed to be there is not decided here, but a field
 * with forbidden bytes is marked as malformed, and stays so when the table repeats it.
 */
export class HpackDecoder {
  readonly #table: DynamicTable<Field>;
  /** What our SETTINGS allow as the table's size. */
  #limit: number;
  /** The peer has acknowledged a smaller limit and must say so in its next block (RFC 9113 section 4.3.1). */
  #mustShrink = false;

  // Of the block that is being decoded; meaningless between two calls.
  #bytes: Buffer = NOTHING;
  #at = 0;
  #end = 0;

  constructor(limit: number) {
    this.#limit = limit;
    this.#table = new DynamicTable(limit);
  }

  /** Our SETTINGS_HEADER_TABLE_SIZE has been acknowledged. */
  setLimit(limit: number): void {
    this.#limit = limit;
    this.#mustShrink = limit < this.#table.maxSize;
  }

  /** Decodes a whole block. False: COMPRESSION_ERROR, and the decoder is of no use any more. */
  decode(bytes: Buffer, start: number, end: number, sink: FieldSink): boolean {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    const decoded = this.#readSizeUpdates() && this.#readFields(sink);
    this.#bytes = NOTHING;
    return decoded;
  }

  export(): HpackDecoderState {
    return {
      limit: this.#limit,
      maxSize: this.#table.maxSize,
      mustShrink: this.#mustShrink,
      entries: this.#table.entries().map((field) => field.header),
    };
  }

  static restore(state: HpackDecoderState): HpackDecoder {
    const decoder = new HpackDecoder(state.limit);
    decoder.#mustShrink = state.mustShrink;
    decoder.#table.maxSize = state.maxSize;
    for (const [name, value] of state.entries)
      decoder.#table.add(makeField(name, value, isWellFormed(name, value)));
    return decoder;
  }

  #readSizeUpdates(): boolean {
    for (let updates = 0; this.#at < this.#end; updates++) {
      if (((this.#bytes[this.#at] ?? 0) & 0xe0) !== 0x20) break;
      const size = this.#readInteger(5);
      if (size < 0 || size > this.#limit || updates === SIZE_UPDATES_MAX) return false;
      this.#table.maxSize = size;
      while (this.#table.size > size) this.#table.evict();
      this.#mustShrink = false;
    }
    return !this.#mustShrink;
  }

  #readFields(sink: FieldSink): boolean {
    while (this.#at < this.#end) {
      const first = this.#bytes[this.#at] ?? 0;
      let field: Field | undefined;
      if (first >= 0x80) field = this.#lookUp(this.#readInteger(7));
      else if (first >= 0x40) {
        field = this.#readLiteral(6);
        if (field !== undefined) this.#add(field);
      } else if (first < 0x20) field = this.#readLiteral(4);
      // A size update is allowed in front only.
      if (field === undefined) return false;
      sink.addField(field);
    }
    return true;
  }

  /** Index 0 means nothing here, and a broken integer comes as -1. */
  #lookUp(index: number): Field | undefined {
    if (index <= 0) return undefined;
    if (index <= STATIC_COUNT) return STATIC_FIELDS[index - 1];
    return this.#table.get(index - STATIC_COUNT - 1);
  }

  #add(field: Field): void {
    const table = this.#table;
    // An entry that is larger than the table empties it, and that is no error (RFC 7541 section 4.4).
    while (table.count > 0 && table.size + field.size > table.maxSize) table.evict();
    if (field.size <= table.maxSize) table.add(field);
  }

  #readLiteral(prefixBits: number): Field | undefined {
    const index = this.#readInteger(prefixBits);
    if (index < 0) return undefined;
    let name: string;
    let wellFormed: boolean;
    if (index === 0) {
      if (!this.#readString()) return undefined;
      wellFormed = isNameBytes(text.bytes, text.start, text.end);
      name = text.bytes.toString('latin1', text.start, text.end);
    } else {
      const named = this.#lookUp(index);
      if (named === undefined) return undefined;
      name = named.header[0];
      wellFormed = named.kind !== FieldKind.malformed || isWellFormed(name, '');
    }
    if (!this.#readString()) return undefined;
    wellFormed &&= isValueBytes(text.bytes, text.start, text.end);
    return makeField(name, text.bytes.toString('latin1', text.start, text.end), wellFormed);
  }

  /** Reads a string literal (RFC 7541 section 5.2) and leaves in `text` where its bytes are. */
  #readString(): boolean {
    if (this.#at === this.#end) return false;
    const coded = ((this.#bytes[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#readInteger(7);
    if (length < 0 || length > this.#end - this.#at) return false;
    const start = this.#at;
    this.#at += length;
    if (!coded) {
      text.bytes = this.#bytes;
      text.start = start;
      text.end = this.#at;
      return true;
    }
    const most = huffmanDecodedMax(length);
    if (scratch.length < most) scratch = Buffer.allocUnsafeSlow(most);
    text.bytes = scratch;
    text.start = 0;
    text.end = huffmanDecode(this.#bytes, start, this.#at, scratch, 0);
    return text.end >= 0;
  }

  /** Reads an integer with a prefix of so many bits (RFC 7541 section 5.1); -1 when it is cut off or too large. */
  #readInteger(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = (this.#bytes[this.#at++] ?? 0) & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 28; shift += 7) {
      if (this.#at === this.#end) return -1;
      const byte = this.#bytes[this.#at++] ?? 0;
      value += (byte & 0x7f) * 2 ** shift;
      if (value > INTEGER_MAX) return -1;
      if (byte < 0x80) return value;
    }
    return -1;
  }
}

const NOTHING: Buffer = Buffer.alloc(0);

/** Huffman-coded text is decoded to here. One for all decoders of the thread: it holds nothing between two calls. */
let scratch: Buffer = Buffer.allocUnsafeSlow(4096);

/** Where the string that was read last lies. Shared for the same reason. */
const text = { bytes: NOTHING, start: 0, end: 0 };

function isWellFormed(name: string, value: string): boolean {
  const bytes = Buffer.from(name + value, 'latin1');
  return isNameBytes(bytes, 0, name.length) && isValueBytes(bytes, name.length, bytes.length);
}
