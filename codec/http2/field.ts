/**
 * One header field: lower-case name (pseudo headers begin with a colon) and value. Both are latin1 text:
 * one character is one byte on the wire.
 */
export type Header = readonly [name: string, value: string];

/** What a field means to the rules of RFC 9113 section 8; found once per table entry, not once per use. */
export const FieldKind = {
  regular: 0,
  method: 1,
  scheme: 2,
  authority: 3,
  path: 4,
  status: 5,
  /** A pseudo header that is unknown, or that belongs to an extension that was not negotiated. */
  unknownPseudo: 6,
  host: 7,
  contentLength: 8,
  te: 9,
  /** Belongs to one HTTP/1 connection; forbidden in HTTP/2 (RFC 9113 section 8.2.2). */
  connectionSpecific: 10,
  /** The name or the value holds a byte that it must not hold. */
  malformed: 11,
} as const;
export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind];

/** A field as the decoding tables keep it. */
export interface Field {
  readonly header: Header;
  readonly kind: FieldKind;
  /** Bytes that the field counts in tables and list limits (RFC 7541 section 4.1). */
  readonly size: number;
}

/** What every field costs beyond its text (RFC 7541 section 4.1). */
export const FIELD_OVERHEAD = 32;

export function makeField(name: string, value: string, wellFormed: boolean): Field {
  const kind = wellFormed ? (KINDS.get(name) ?? kindOfOther(name)) : FieldKind.malformed;
  return { header: [name, value], kind, size: name.length + value.length + FIELD_OVERHEAD };
}

/** Is `bytes[start, end)` a field name: lower-case token characters, a colon only in front? */
export function isNameBytes(bytes: Buffer, start: number, end: number): boolean {
  let at = start;
  if (at < end && bytes[at] === COLON) at++;
  if (at === end) return false;
  for (; at < end; at++) if (NAME_BYTES[bytes[at] ?? 0] === 0) return false;
  return true;
}

/** Is `bytes[start, end)` a field value: no control characters, no white space at the ends? */
export function isValueBytes(bytes: Buffer, start: number, end: number): boolean {
  if (start === end) return true;
  if (isBlank(bytes[start] ?? 0) || isBlank(bytes[end - 1] ?? 0)) return false;
  for (let at = start; at < end; at++) if (VALUE_BYTES[bytes[at] ?? 0] === 0) return false;
  return true;
}

/** May this field be sent? The same rules as for received ones, so that nothing can be smuggled through us. */
export function isSendable(header: Header): boolean {
  const [name, value] = header;
  if (!SENDABLE_NAME.test(name) || !SENDABLE_VALUE.test(value)) return false;
  return (
    value === '' || !(isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(value.length - 1)))
  );
}

const COLON = 0x3a;

// For texts a regular expression is twice as fast as a loop.
const SENDABLE_NAME = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const SENDABLE_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Token characters without upper case (RFC 9110 section 5.6.2, RFC 9113 section 8.2.1). */
const NAME_BYTES: Uint8Array = byteSet("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz");

/** Everything but control characters; tab is allowed (RFC 9110 section 5.5). */
const VALUE_BYTES: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte === 0x09 || (byte >= 0x20 && byte !== 0x7f) ? 1 : 0,
);

const KINDS: ReadonlyMap<string, FieldKind> = new Map<string, FieldKind>([
  [':method', FieldKind.method],
  [':scheme', FieldKind.scheme],
  [':authority', FieldKind.authority],
  [':path', FieldKind.path],
  [':status', FieldKind.status],
  ['host', FieldKind.host],
  ['content-length', FieldKind.contentLength],
  ['te', FieldKind.te],
  ['connection', FieldKind.connectionSpecific],
  ['proxy-connection', FieldKind.connectionSpecific],
  ['keep-alive', FieldKind.connectionSpecific],
  ['transfer-encoding', FieldKind.connectionSpecific],
  ['upgrade', FieldKind.connectionSpecific],
]);

function kindOfOther(name: string): FieldKind {
  return name.charCodeAt(0) === COLON ? FieldKind.unknownPseudo : FieldKind.regular;
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09;
}

function byteSet(characters: string): Uint8Array {
  const set = new Uint8Array(256);
  for (const character of characters) set[character.charCodeAt(0)] = 1;
  return set;
}
