/** Sets of bytes as tables with a 1 for each member, and comparisons that make no strings. */

export const SPACE = 0x20;
export const TAB = 0x09;
export const CARRIAGE_RETURN = 0x0d;
export const LINE_FEED = 0x0a;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;
export const DELETE = 0x7f;

/** Token characters: methods and field names (RFC 9110 section 5.6.2). */
export const TOKEN: Uint8Array = byteSet(
  (byte) => isAlphanumeric(byte) || "!#$%&'*+-.^_`|~".includes(String.fromCharCode(byte)),
);

/** Field values and reason phrases: no control characters but tab (RFC 9110 section 5.5). */
export const VALUE: Uint8Array = byteSet(
  (byte) => byte === TAB || (byte >= SPACE && byte !== 0x7f),
);

/** Request targets: no blanks, no fragment; the same set as for `:path` in HTTP/2. */
export const TARGET: Uint8Array = byteSet(
  (byte) => byte > SPACE && byte !== 0x7f && byte !== 0x23 /* # */,
);

/** Host and port: no user information, "@" is missing (RFC 9110 section 4.2.4); the same set as for `:authority`. */
export const AUTHORITY: Uint8Array = byteSet(
  (byte) => isAlphanumeric(byte) || "!$%&'()*+,-.:;=[]_~".includes(String.fromCharCode(byte)),
);

/** Each byte with upper-case letters made lower-case. */
export const LOWER: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte,
);

/** The value of a hexadecimal digit, 255 for everything else. */
export const HEX: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => {
  const digit = '0123456789abcdef'.indexOf(String.fromCharCode(LOWER[byte] ?? 0));
  return digit < 0 ? 255 : digit;
});

export function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

export function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}

/** Are all of `bytes[start, end)` in the set? */
export function allIn(set: Uint8Array, bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (set[bytes[at] ?? 0] === 0) return false;
  return true;
}

/** Is `bytes[start, end)` this text, whatever the case of its letters? `lower` is lower-case latin1. */
export function equalsText(bytes: Buffer, start: number, end: number, lower: string): boolean {
  if (end - start !== lower.length) return false;
  for (let i = 0; i < lower.length; i++)
    if (LOWER[bytes[start + i] ?? 0] !== lower.charCodeAt(i)) return false;
  return true;
}

function isAlphanumeric(byte: number): boolean {
  const lower = byte | 0x20;
  return isDigit(byte) || (lower >= 0x61 && lower <= 0x7a);
}

function byteSet(has: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (has(byte) ? 1 : 0));
}
