import type { Http1Fault } from './faults.ts';
import { FieldId, fieldIdAt, isConnectionField, isSpecial } from './field-id.ts';
import { isProtected, isRefusedTrailer, isTrailerField } from './field-rules.ts';
import type { Head } from './head.ts';
import { AUTHORITY, allIn, equalsText, isBlank, isDigit, LOWER, TOKEN } from './octets.ts';

/** Options in one Connection field: each is compared with every field. Real ones have one to three. */
const CONNECTION_OPTIONS_MAX = 16;

/** 15 digits keep the number exact. */
const CONTENT_LENGTH_DIGITS_MAX = 15;

/**
 * The only protocol that may take over a connection. Any other upgrade is as good as absent: after "h2c" requests
 * would follow that no policy has seen.
 */
const UPGRADES: readonly string[] = ['websocket'];

/**
 * What the fields of a parsed head mean for the message and the connection (RFC 9110, RFC 9112 sections 3, 6, 9).
 * Fills in the head; false, with `head.fault`, when the message must be refused.
 */
export function judgeHead(head: Head): boolean {
  head.framing = 'none';
  head.contentLength = -1;
  head.keepAlive = head.minorVersion === 1;
  head.upgrade = '';
  head.expectsContinue = false;
  head.acceptsTrailers = false;
  const fault = head.kind === 'trailers' ? judgeTrailers(head) : judgeFields(head);
  if (fault === undefined) return true;
  head.fault = fault;
  return false;
}

function judgeFields(head: Head): Http1Fault | undefined {
  const { ids, hidden, count } = head;
  let wantsUpgrade = false;
  for (let i = 0; i < count; i++) {
    const id = ids[i] ?? 0;
    hidden[i] = isConnectionField(id) ? 1 : 0;
    if (!isSpecial(id)) continue;
    if (id === FieldId.upgrade) wantsUpgrade = true;
    const fault = judgeField(head, i, id);
    if (fault !== undefined) return fault;
  }
  if (head.first[FieldId.connection] !== -1) {
    const fault = judgeConnection(head);
    if (fault !== undefined) return fault;
  }
  if (wantsUpgrade && head.minorVersion === 1) judgeUpgrade(head);
  return judgeFraming(head) ?? (head.kind === 'request' ? judgeRequest(head) : undefined);
}

/** One field that the codec understands; those with a rule for the whole head come later. */
function judgeField(head: Head, index: number, id: number): Http1Fault | undefined {
  const again = (head.first[id] ?? -1) !== index;
  switch (id) {
    case FieldId.contentLength:
      return again ? 'severalContentLengths' : judgeContentLength(head, index);
    case FieldId.transferEncoding:
      if (again) return 'severalTransferEncodings';
      if (head.minorVersion === 0) return 'transferEncodingInHttp10';
      if (!valueEquals(head, index, 'chunked')) return 'unsupportedTransferEncoding';
      head.framing = 'chunked';
      return undefined;
    case FieldId.host:
      return again && head.kind === 'request' ? 'severalHosts' : undefined;
    case FieldId.te:
      if (hasTrailersOption(head, index)) head.acceptsTrailers = true;
      return undefined;
    case FieldId.expect:
      if (head.kind !== 'request' || head.minorVersion === 0) return undefined;
      if (!valueEquals(head, index, '100-continue')) return 'unsupportedExpectation';
      head.expectsContinue = true;
      return undefined;
    default:
      return undefined;
  }
}

function judgeContentLength(head: Head, index: number): Http1Fault | undefined {
  const start = head.offsets[4 * index + 2] ?? 0;
  const end = head.offsets[4 * index + 3] ?? 0;
  if (start === end || end - start > CONTENT_LENGTH_DIGITS_MAX) return 'invalidContentLength';
  let length = 0;
  for (let at = start; at < end; at++) {
    const byte = head.bytes[at] ?? 0;
    if (!isDigit(byte)) return 'invalidContentLength';
    length = length * 10 + byte - 0x30;
  }
  head.contentLength = length;
  return undefined;
}

/** Goes through all options: what they say about the connection, and which fields they name. */
function judgeConnection(head: Head): Http1Fault | undefined {
  let options = 0;
  let close = false;
  let keepAlive = false;
  for (let i = 0; i < head.count; i++) {
    if (head.ids[i] !== FieldId.connection) continue;
    const { bytes } = head;
    const end = head.offsets[4 * i + 3] ?? 0;
    let at = head.offsets[4 * i + 2] ?? 0;
    while (at < end) {
      const start = at;
      while (at < end && TOKEN[bytes[at] ?? 0] === 1) at++;
      if (at === start) {
        // Blanks and commas between options, and whatever else cannot name a field.
        at++;
        continue;
      }
      if (++options > CONNECTION_OPTIONS_MAX) return 'tooManyConnectionOptions';
      if (equalsText(bytes, start, at, 'close')) close = true;
      else if (equalsText(bytes, start, at, 'keep-alive')) keepAlive = true;
      else if (!hideNominated(head, start, at)) return 'protectedFieldNominated';
    }
  }
  if (close) head.keepAlive = false;
  else if (keepAlive) head.keepAlive = true;
  return undefined;
}

/** False when the option `bytes[start, end)` names a field that must stay. */
function hideNominated(head: Head, start: number, end: number): boolean {
  const { bytes, ids, hidden, offsets, count } = head;
  const id = fieldIdAt(bytes, start, end);
  if (isProtected(id)) return false;
  // Those of the connection are hidden anyway; what the message needs of them has been read.
  if (isConnectionField(id)) return true;
  for (let i = 0; i < count; i++) {
    if (ids[i] !== id) continue;
    const name = offsets[4 * i] ?? 0;
    if (
      (offsets[4 * i + 1] ?? 0) - name === end - start &&
      sameName(bytes, name, start, end - start)
    )
      hidden[i] = 1;
  }
  return true;
}

/** Sets `head.upgrade` when a protocol that we let through is named, alone. */
function judgeUpgrade(head: Head): void {
  const index = head.first[FieldId.upgrade] ?? -1;
  for (const protocol of UPGRADES)
    if (index >= 0 && valueEquals(head, index, protocol)) head.upgrade = protocol;
}

/** RFC 9112 section 6.3, without its repairs. What depends on the request is the client's to add. */
function judgeFraming(head: Head): Http1Fault | undefined {
  if (head.framing === 'chunked')
    return head.contentLength >= 0 ? 'lengthAndTransferEncoding' : undefined;
  if (head.kind === 'response') head.framing = head.contentLength >= 0 ? 'length' : 'untilClose';
  else if (head.contentLength > 0) head.framing = 'length';
  return undefined;
}

function judgeRequest(head: Head): Http1Fault | undefined {
  // Content before the new protocol: nobody needs it, and both ends would have to agree where it ends. And an
  // upgrade that Connection does not name is no upgrade (RFC 9110 section 7.8): not ours to pass on.
  if (head.upgrade !== '' && (head.framing !== 'none' || !namesUpgrade(head))) head.upgrade = '';
  if (head.framing === 'none') head.expectsContinue = false;
  // A CONNECT has no content: what follows belongs to the tunnel (RFC 9110 section 9.3.6).
  if (head.form === 'authority' && head.framing !== 'none') return 'contentInConnect';
  return judgeHost(head);
}

/** RFC 9112 section 3.2: one Host, the same as in the target. */
function judgeHost(head: Head): Http1Fault | undefined {
  const { bytes } = head;
  const inTarget = head.form === 'absolute' || head.form === 'authority';
  if (inTarget && !isHost(bytes, head.authorityStart, head.authorityEnd)) return 'invalidTarget';
  const index = head.first[FieldId.host] ?? -1;
  if (index < 0) return head.minorVersion === 1 ? 'missingHost' : undefined;
  const start = head.offsets[4 * index + 2] ?? 0;
  const end = head.offsets[4 * index + 3] ?? 0;
  if (!isHost(bytes, start, end)) return 'invalidHost';
  if (!inTarget) {
    head.authorityStart = start;
    head.authorityEnd = end;
    return undefined;
  }
  const length = head.authorityEnd - head.authorityStart;
  const same = end - start === length && sameName(bytes, head.authorityStart, start, length);
  return same ? undefined : 'hostMismatch';
}

/** Host bytes, and at most one colon outside of brackets, with digits behind it. Empty is allowed. */
function isHost(bytes: Buffer, start: number, end: number): boolean {
  if (!allIn(AUTHORITY, bytes, start, end)) return false;
  let at = end;
  while (at > start && isDigit(bytes[at - 1] ?? 0)) at--;
  const hostEnd = at > start && bytes[at - 1] === COLON ? at - 1 : end;
  if (hostEnd === start) return start === end;
  if (bytes[start] === OPENING_BRACKET) return bytes[hostEnd - 1] === CLOSING_BRACKET;
  for (at = start; at < hostEnd; at++) {
    const byte = bytes[at];
    if (byte === COLON || byte === OPENING_BRACKET || byte === CLOSING_BRACKET) return false;
    if (byte === COMMA) return false;
  }
  return true;
}

/** Trailers that say how the message is framed or routed are refused, others that have no place there are hidden. */
function judgeTrailers(head: Head): Http1Fault | undefined {
  for (let i = 0; i < head.count; i++) {
    const id = head.ids[i] ?? 0;
    if (isRefusedTrailer(id)) return 'forbiddenTrailer';
    head.hidden[i] = isTrailerField(id) ? 0 : 1;
  }
  return undefined;
}

/** Is "trailers" one of the codings? */
function hasTrailersOption(head: Head, index: number): boolean {
  const start = head.offsets[4 * index + 2] ?? 0;
  const end = head.offsets[4 * index + 3] ?? 0;
  for (let at = start; at < end; ) {
    let comma = at;
    while (comma < end && head.bytes[comma] !== COMMA) comma++;
    let last = comma;
    while (at < last && isBlank(head.bytes[at] ?? 0)) at++;
    while (last > at && isBlank(head.bytes[last - 1] ?? 0)) last--;
    if (equalsText(head.bytes, at, last, 'trailers')) return true;
    at = comma + 1;
  }
  return false;
}

function namesUpgrade(head: Head): boolean {
  for (let i = 0; i < head.count; i++) {
    if (head.ids[i] !== FieldId.connection) continue;
    const options = head.valueAt(i).toLowerCase().split(',');
    if (options.some((option) => option.trim() === 'upgrade')) return true;
  }
  return false;
}

function valueEquals(head: Head, index: number, lower: string): boolean {
  const start = head.offsets[4 * index + 2] ?? 0;
  return equalsText(head.bytes, start, head.offsets[4 * index + 3] ?? 0, lower);
}

function sameName(bytes: Buffer, one: number, other: number, length: number): boolean {
  for (let i = 0; i < length; i++)
    if (LOWER[bytes[one + i] ?? 0] !== LOWER[bytes[other + i] ?? 0]) return false;
  return true;
}

const COLON = 0x3a;
const COMMA = 0x2c;
const OPENING_BRACKET = 0x5b;
const CLOSING_BRACKET = 0x5d;
