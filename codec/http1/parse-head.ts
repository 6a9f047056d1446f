import type { Http1Fault } from './faults.ts';
import { FIELD_ID_COUNT, fieldIdAt } from './field-id.ts';
import { FIELDS_MAX, type Head } from './head.ts';
import { judgeHead } from './judge-head.ts';
import { CARRIAGE_RETURN, COLON, DELETE, isBlank, LINE_FEED, SPACE, TAB, TOKEN } from './octets.ts';
import { parseRequestLine, parseStatusLine } from './start-line.ts';

/** `incomplete`: the empty line has not come yet. `fault`: `head.fault` says why. */
export type ParseResult = 'complete' | 'incomplete' | 'fault';

/** Prepares for a new head that begins at `start`. */
export function beginHead(head: Head, bytes: Buffer, start: number): void {
  head.bytes = bytes;
  head.start = start;
  head.at = start;
  head.count = 0;
  head.startLineDone = head.kind === 'trailers';
  head.fieldsStart = start;
  head.fault = undefined;
  const { first } = head;
  for (let id = 0; id < FIELD_ID_COUNT; id++) first[id] = -1;
}

/**
 * Parses whole lines up to `end`, from where the last call stopped (RFC 9112 sections 2 to 5). A line is judged
 * when its LF is there, never before: so faults do not depend on how the input was cut. `end` is at most
 * `head.start` plus the limit for a head; what is incomplete there is too large.
 */
export function parseHead(head: Head, end: number): ParseResult {
  if (!head.startLineDone) {
    const result = parseStartLine(head, end);
    if (result !== 'complete') return result;
    head.startLineDone = true;
    head.fieldsStart = head.at;
  }
  const result = parseFields(head, end);
  if (result !== 'complete') return result;
  return judgeHead(head) ? 'complete' : 'fault';
}

function parseStartLine(head: Head, end: number): ParseResult {
  const { bytes } = head;
  let at = head.at;
  // Empty lines before a request are what old clients send behind a body (RFC 9112 section 2.2).
  while (head.kind === 'request' && at + 1 < end && isLineEnd(bytes, at)) at += 2;
  head.at = at;
  head.start = at;
  const next =
    head.kind === 'request' ? parseRequestLine(head, at, end) : parseStatusLine(head, at, end);
  if (next < 0) return refuseLine(head, end);
  head.at = next;
  return 'complete';
}

/** One pass over all field lines, then the empty line. */
function parseFields(head: Head, end: number): ParseResult {
  const { bytes, offsets, ids, first } = head;
  let lineStart = head.at;
  let index = head.count;
  for (;;) {
    let at = lineStart;
    while (at < end && TOKEN[bytes[at] ?? 0] === 1) at++;
    if (at === end || bytes[at] !== COLON || at === lineStart) break;
    const nameEnd = at++;
    while (at < end && (bytes[at] === SPACE || bytes[at] === TAB)) at++;
    const valueStart = at;
    at = valueEndAt(bytes, at, end);
    if (at + 1 >= end || bytes[at] !== CARRIAGE_RETURN || bytes[at + 1] !== LINE_FEED) break;
    if (index === FIELDS_MAX) {
      head.fault = 'tooManyFields';
      return 'fault';
    }
    let valueEnd = at;
    while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1] ?? 0)) valueEnd--;
    const slot = 4 * index;
    offsets[slot] = lineStart;
    offsets[slot + 1] = nameEnd;
    offsets[slot + 2] = valueStart;
    offsets[slot + 3] = valueEnd;
    const id = fieldIdAt(bytes, lineStart, nameEnd);
    ids[index] = id;
    if (id !== 0 && first[id] === -1) first[id] = index;
    index++;
    lineStart = at + 2;
  }
  head.count = index;
  head.at = lineStart;
  if (lineStart + 1 < end && isLineEnd(bytes, lineStart)) {
    head.fieldsEnd = lineStart;
    head.end = lineStart + 2;
    return 'complete';
  }
  return refuseLine(head, end);
}

/** Where a control character ends the value. Comparisons are faster here than a table: most bytes of a head are values. */
function valueEndAt(bytes: Buffer, start: number, end: number): number {
  let at = start;
  for (; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if ((byte < SPACE && byte !== TAB) || byte === DELETE) break;
  }
  return at;
}

/** Names the fault of the line at `head.at`, once that line is complete. */
function refuseLine(head: Head, end: number): ParseResult {
  const { bytes, at } = head;
  let lineFeed = at;
  while (lineFeed < end && bytes[lineFeed] !== LINE_FEED) lineFeed++;
  if (lineFeed === end) {
    head.fault = undefined;
    return 'incomplete';
  }
  head.fault = faultOfBytes(bytes, at, lineFeed) ?? head.fault ?? faultOfField(bytes, at, lineFeed);
  return 'fault';
}

/** What no line may hold. */
function faultOfBytes(bytes: Buffer, start: number, lineFeed: number): Http1Fault | undefined {
  for (let at = start; at < lineFeed; at++) {
    if (bytes[at] === 0) return 'nulByte';
    if (bytes[at] === CARRIAGE_RETURN && at + 1 !== lineFeed) return 'bareCarriageReturn';
  }
  return bytes[lineFeed - 1] === CARRIAGE_RETURN && lineFeed > start ? undefined : 'bareLineFeed';
}

function faultOfField(bytes: Buffer, start: number, lineFeed: number): Http1Fault {
  if (isBlank(bytes[start] ?? 0)) return 'obsoleteFold';
  let at = start;
  while (TOKEN[bytes[at] ?? 0] === 1) at++;
  if (at > start && bytes[at] === COLON) return 'invalidFieldValue';
  let afterBlanks = at;
  while (isBlank(bytes[afterBlanks] ?? 0)) afterBlanks++;
  const blankBeforeColon = at > start && afterBlanks > at && bytes[afterBlanks] === COLON;
  return blankBeforeColon && afterBlanks < lineFeed ? 'whitespaceBeforeColon' : 'invalidFieldName';
}

function isLineEnd(bytes: Buffer, at: number): boolean {
  return bytes[at] === CARRIAGE_RETURN && bytes[at + 1] === LINE_FEED;
}
