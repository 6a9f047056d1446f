import type { Http1Fault } from './faults.ts';
import { FIELD_ID_COUNT, FIELD_NAMES, FieldId, fieldIdOf } from './field-id.ts';
import { equalsText, LOWER } from './octets.ts';

/**
 * Fields of one head or trailer section, as for HTTP/2: every field costs its receiver a look-up, a copy and a
 * rule. The largest real requests stay below 100.
 */
export const FIELDS_MAX = 128;

export type HeadKind = 'request' | 'response' | 'trailers';

/** How the end of a body is found (RFC 9112 section 6.3). `untilClose` also stands for the bytes after an upgrade. */
export type BodyFraming = 'none' | 'length' | 'chunked' | 'untilClose';

/** The forms of a request target (RFC 9112 section 3.2). */
export type TargetForm = 'origin' | 'absolute' | 'authority' | 'asterisk';

/**
 * One parsed head (or trailer section), in place: it holds offsets into `bytes`, and makes a string only of what
 * is asked for. Made once per worker and kind, and used again for every message: what an event shows is valid
 * during the event; `copyTo()` keeps it. Only the parser writes to it.
 */
export class Head {
  readonly kind: HeadKind;
  bytes: Buffer = NOTHING;
  /** Of the start line. */
  start = 0;
  /** Behind the empty line. */
  end = 0;
  /** Of the first field line; each line ends where the next one begins, the last one at `fieldsEnd`. */
  fieldsStart = 0;
  fieldsEnd = 0;
  /** How many fields there are. */
  count = 0;
  /** Four per field: name start and end, value start and end (without blanks around it). */
  offsets: Int32Array;
  /** A {@link FieldId} per field. */
  ids: Uint8Array;
  /**
   * 1 for fields that end here: those of the connection, and those that Connection names. They are not
   * forwarded, so `value()` does not see them either: no rule may rely on what the next hop does not get.
   */
  hidden: Uint8Array;
  /** The first field with an id; -1 without one. */
  readonly first: Int16Array;

  /** HTTP/1.0 or HTTP/1.1. */
  minorVersion = 1;
  method = '';
  status = 0;
  targetStart = 0;
  targetEnd = 0;
  form: TargetForm = 'origin';
  /** Of an absolute-form target, lower-case; else empty. */
  scheme = '';
  /** From the target, else from Host; empty when neither says it. */
  authorityStart = 0;
  authorityEnd = 0;
  /** Path and query; empty for the authority form, and for an absolute form without a path. */
  pathStart = 0;
  pathEnd = 0;
  reasonStart = 0;
  reasonEnd = 0;

  framing: BodyFraming = 'none';
  /** -1 without one. */
  contentLength = -1;
  /** The sender is ready for another message on this connection. */
  keepAlive = true;
  /** A request asks for, or a response (101) names, a protocol that may take over; lower-case, empty without one. */
  upgrade = '';
  /** The client waits for 100 (Continue) before it sends the body. */
  expectsContinue = false;
  /** The client takes trailers (TE: trailers). */
  acceptsTrailers = false;

  /** The parser's: where the next line begins, and why it stopped. */
  at = 0;
  startLineDone = false;
  fault: Http1Fault | undefined;

  constructor(kind: HeadKind, fieldsMax: number = FIELDS_MAX) {
    this.kind = kind;
    this.offsets = new Int32Array(4 * fieldsMax);
    this.ids = new Uint8Array(fieldsMax);
    this.hidden = new Uint8Array(fieldsMax);
    this.first = new Int16Array(FIELD_ID_COUNT).fill(-1);
  }

  /** The request target as it came. */
  get target(): string {
    return this.bytes.toString('latin1', this.targetStart, this.targetEnd);
  }

  /** Host and port as they came, empty without any. */
  get authority(): string {
    return this.bytes.toString('latin1', this.authorityStart, this.authorityEnd);
  }

  /** What is forwarded as the target, and `:path` in HTTP/2: path and query, or "*"; empty for CONNECT. */
  get path(): string {
    const path = this.bytes.toString('latin1', this.pathStart, this.pathEnd);
    if (this.form !== 'absolute' || path.charCodeAt(0) === 0x2f) return path;
    // RFC 9112 section 3.2.1 and 3.2.4.
    return path === '' && this.method === 'OPTIONS' ? '*' : `/${path}`;
  }

  get reason(): string {
    return this.bytes.toString('latin1', this.reasonStart, this.reasonEnd);
  }

  /**
   * The value of a field, several lines joined as one list (RFC 9110 section 5.3; cookies by "; "). Undefined when
   * the field is missing or ends here. `lowerName`: lower-case.
   */
  value(lowerName: string): string | undefined {
    let index = this.find(lowerName, 0);
    if (index < 0) return undefined;
    let value = this.valueAt(index);
    for (;;) {
      index = this.find(lowerName, index + 1);
      if (index < 0) return value;
      value += (lowerName === 'cookie' ? '; ' : ', ') + this.valueAt(index);
    }
  }

  /** The value of each line of a field. For those that are no lists, as set-cookie. */
  values(lowerName: string): string[] {
    const values: string[] = [];
    for (let i = this.find(lowerName, 0); i >= 0; i = this.find(lowerName, i + 1))
      values.push(this.valueAt(i));
    return values;
  }

  has(lowerName: string): boolean {
    return this.find(lowerName, 0) >= 0;
  }

  /** The first field with this name from `from` on that does not end here; -1 without one. */
  find(lowerName: string, from: number): number {
    const id = fieldIdOf(lowerName);
    if (id === FieldId.other) return this.#findOther(lowerName, from);
    const first = this.first[id] ?? -1;
    if (first < 0) return -1;
    for (let i = first > from ? first : from; i < this.count; i++)
      if (this.ids[i] === id && this.hidden[i] === 0) return i;
    return -1;
  }

  /** The name of field `index`, lower-case. */
  nameAt(index: number): string {
    const id = this.ids[index] ?? 0;
    if (id !== FieldId.other) return FIELD_NAMES[id] ?? '';
    const start = this.offsets[4 * index] ?? 0;
    const end = this.offsets[4 * index + 1] ?? 0;
    const name = this.bytes.toString('latin1', start, end);
    for (let at = start; at < end; at++) {
      const byte = this.bytes[at] ?? 0;
      if (LOWER[byte] !== byte) return name.toLowerCase();
    }
    return name;
  }

  valueAt(index: number): string {
    return this.bytes.toString('latin1', this.offsets[4 * index + 2], this.offsets[4 * index + 3]);
  }

  /** Where the line of field `index` begins; for `count` where the last one ends. */
  lineStart(index: number): number {
    return index < this.count ? (this.offsets[4 * index] ?? 0) : this.fieldsEnd;
  }

  /**
   * Makes `copy` a head of its own, with bytes of its own, that outlives the event. The memory of what it was before is
   * used again, unless it is large: a connection that had one large head does not keep it.
   */
  copyTo(copy: Head): void {
    const { count, start } = this;
    const length = this.end - start;
    const { bytes } = copy;
    if (bytes.length < length || bytes.length > KEPT_BYTES_MAX)
      copy.bytes = Buffer.allocUnsafeSlow(Math.max(length, COPY_BYTES_MIN));
    this.bytes.copy(copy.bytes, 0, start, this.end);
    if (copy.ids.length < count) copy.#makeRoom(count);
    // Few fields: a loop is faster than two views of typed arrays.
    for (let i = 0; i < 4 * count; i++) copy.offsets[i] = (this.offsets[i] ?? 0) - start;
    for (let i = 0; i < count; i++) {
      copy.ids[i] = this.ids[i] ?? 0;
      copy.hidden[i] = this.hidden[i] ?? 0;
    }
    copy.first.set(this.first);
    copyFacts(this, copy);
    shift(copy, -start);
  }

  #makeRoom(fields: number): void {
    const room = Math.max(fields, Math.min(2 * this.ids.length, FIELDS_MAX));
    this.offsets = new Int32Array(4 * room);
    this.ids = new Uint8Array(room);
    this.hidden = new Uint8Array(room);
  }

  #findOther(lowerName: string, from: number): number {
    const { offsets } = this;
    for (let i = from; i < this.count; i++)
      if (
        this.ids[i] === FieldId.other &&
        this.hidden[i] === 0 &&
        equalsText(this.bytes, offsets[4 * i] ?? 0, offsets[4 * i + 1] ?? 0, lowerName)
      )
        return i;
    return -1;
  }
}

function copyFacts(from: Head, to: Head): void {
  to.start = from.start;
  to.end = from.end;
  to.fieldsStart = from.fieldsStart;
  to.fieldsEnd = from.fieldsEnd;
  to.count = from.count;
  to.minorVersion = from.minorVersion;
  to.method = from.method;
  to.status = from.status;
  to.targetStart = from.targetStart;
  to.targetEnd = from.targetEnd;
  to.form = from.form;
  to.scheme = from.scheme;
  to.authorityStart = from.authorityStart;
  to.authorityEnd = from.authorityEnd;
  to.pathStart = from.pathStart;
  to.pathEnd = from.pathEnd;
  to.reasonStart = from.reasonStart;
  to.reasonEnd = from.reasonEnd;
  to.framing = from.framing;
  to.contentLength = from.contentLength;
  to.keepAlive = from.keepAlive;
  to.upgrade = from.upgrade;
  to.expectsContinue = from.expectsContinue;
  to.acceptsTrailers = from.acceptsTrailers;
}

function shift(head: Head, by: number): void {
  head.start += by;
  head.end += by;
  head.fieldsStart += by;
  head.fieldsEnd += by;
  head.targetStart += by;
  head.targetEnd += by;
  head.authorityStart += by;
  head.authorityEnd += by;
  head.pathStart += by;
  head.pathEnd += by;
  head.reasonStart += by;
  head.reasonEnd += by;
}

/** A copy has room for as much: the heads of browsers fit. */
const COPY_BYTES_MIN = 1_024;
/** A larger buffer is not kept for the next head. */
const KEPT_BYTES_MAX = 4_096;

const NOTHING: Buffer = Buffer.alloc(0);
