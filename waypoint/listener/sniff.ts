/** What the first bytes of a connection say about it. */
export type Sniffed = 'HTTP/1' | 'HTTP/2' | 'other' | 'more';

/** RFC 9113 section 3.4. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
/** The longest registered method is shorter. */
const METHOD_LENGTH_MAX = 32;
const BLANK = 0x20;
const HYPHEN = 0x2d;

/**
 * Tells HTTP/2 with prior knowledge from the rest, and of the rest what begins as a request line of HTTP/1 does.
 * `more`: it can't be told yet. It can after 33 bytes at the latest.
 */
export function sniff(bytes: Buffer, start: number, end: number): Sniffed {
  const length = Math.min(end - start, PREFACE.length);
  if (bytes.compare(PREFACE, 0, length, start, start + length) === 0) {
    return length === PREFACE.length ? 'HTTP/2' : 'more';
  }
  for (let at = start; at < end && at - start <= METHOD_LENGTH_MAX; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === BLANK) return at > start ? 'HTTP/1' : 'other';
    // Methods are upper-case in practice, some with a hyphen.
    const isLetter = byte >= 0x41 && byte <= 0x5a;
    if (!isLetter && !(byte === HYPHEN && at > start)) return 'other';
  }
  return end - start > METHOD_LENGTH_MAX ? 'other' : 'more';
}
