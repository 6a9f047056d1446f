import type { Http1Fault } from './faults.ts';
import type { Head } from './head.ts';
import {
  AUTHORITY,
  allIn,
  CARRIAGE_RETURN,
  equalsText,
  isDigit,
  LINE_FEED,
  SPACE,
  TARGET,
  TOKEN,
  VALUE,
} from './octets.ts';

/**
 * Parses "method target HTTP/1.1" (RFC 9112 section 3). Returns where the next line begins, or -1 when the line is
 * incomplete or wrong: then `head.fault` is what is wrong if the line is complete.
 */
export function parseRequestLine(head: Head, start: number, end: number): number {
  const { bytes } = head;
  let at = start;
  while (at < end && TOKEN[bytes[at] ?? 0] === 1) at++;
  if (at === start || bytes[at] !== SPACE) return refuse(head, 'invalidMethod');
  head.method = methodAt(bytes, start, at);
  const targetStart = ++at;
  while (at < end && TARGET[bytes[at] ?? 0] === 1) at++;
  if (at === targetStart) return refuse(head, 'malformedRequestLine');
  if (bytes[at] !== SPACE) {
    const cut = bytes[at] === CARRIAGE_RETURN;
    return refuse(head, cut ? 'malformedRequestLine' : 'invalidTarget');
  }
  head.targetStart = targetStart;
  head.targetEnd = at;
  const next = versionEnd(head, at + 1, end, 'malformedRequestLine');
  if (next < 0) return -1;
  if (!isLineEnd(bytes, next, end)) return refuse(head, 'malformedRequestLine');
  return parseTarget(head) ? next + 2 : refuse(head, 'invalidTarget');
}

/** Parses "HTTP/1.1 status reason" (RFC 9112 section 4). Returns as {@link parseRequestLine}. */
export function parseStatusLine(head: Head, start: number, end: number): number {
  const { bytes } = head;
  let at = versionEnd(head, start, end, 'malformedStatusLine');
  if (at < 0) return -1;
  // Three digits, the first not 0; end - at is enough for the CRLF behind them.
  if (end - at < 6 || bytes[at] !== SPACE) return refuse(head, 'malformedStatusLine');
  const status = statusAt(bytes, at + 1);
  if (status < 100) return refuse(head, 'malformedStatusLine');
  head.status = status;
  at += 4;
  // A reason is optional, and servers leave out even the blank before it.
  if (bytes[at] === SPACE) at++;
  else if (bytes[at] !== CARRIAGE_RETURN) return refuse(head, 'malformedStatusLine');
  head.reasonStart = at;
  while (at < end && VALUE[bytes[at] ?? 0] === 1) at++;
  head.reasonEnd = at;
  return isLineEnd(bytes, at, end) ? at + 2 : refuse(head, 'malformedStatusLine');
}

/** Compares `bytes[at…)` with "HTTP/1.x", sets the version, returns where it ends, -1 for anything else. */
function versionEnd(head: Head, at: number, end: number, malformed: Http1Fault): number {
  const { bytes } = head;
  // The line's CRLF at least must follow.
  if (end - at < 10) return refuse(head, malformed);
  const isVersion =
    bytes[at] === 0x48 &&
    bytes[at + 1] === 0x54 &&
    bytes[at + 2] === 0x54 &&
    bytes[at + 3] === 0x50 &&
    bytes[at + 4] === 0x2f &&
    isDigit(bytes[at + 5] ?? 0) &&
    bytes[at + 6] === 0x2e &&
    isDigit(bytes[at + 7] ?? 0);
  if (!isVersion) return refuse(head, malformed);
  const minor = (bytes[at + 7] ?? 0) - 0x30;
  if (bytes[at + 5] !== 0x31 || minor > 1) return refuse(head, 'unsupportedVersion');
  head.minorVersion = minor;
  return at + 8;
}

/** Finds the parts of the target (RFC 9112 section 3.2): which form it may have depends on the method. */
function parseTarget(head: Head): boolean {
  const { bytes, targetStart, targetEnd, method } = head;
  head.scheme = '';
  head.authorityStart = head.authorityEnd = targetStart;
  head.pathStart = targetStart;
  head.pathEnd = targetEnd;
  if (method === 'CONNECT') {
    head.form = 'authority';
    head.authorityEnd = head.pathStart = targetEnd;
    return isAuthorityForm(bytes, targetStart, targetEnd);
  }
  if (bytes[targetStart] === SLASH) {
    head.form = 'origin';
    return true;
  }
  if (targetEnd - targetStart === 1 && bytes[targetStart] === ASTERISK) {
    head.form = 'asterisk';
    return method === 'OPTIONS';
  }
  head.form = 'absolute';
  return parseAbsoluteForm(head);
}

function parseAbsoluteForm(head: Head): boolean {
  const { bytes, targetStart, targetEnd } = head;
  // A prefix that reaches behind the target ends in a blank or beyond, and equals nothing.
  if (equalsText(bytes, targetStart, targetStart + 7, 'http://')) head.scheme = 'http';
  else if (equalsText(bytes, targetStart, targetStart + 8, 'https://')) head.scheme = 'https';
  else return false;
  let at = targetStart + head.scheme.length + 3;
  head.authorityStart = at;
  while (at < targetEnd && bytes[at] !== SLASH && bytes[at] !== QUESTION_MARK) at++;
  head.authorityEnd = head.pathStart = at;
  return at > head.authorityStart && allIn(AUTHORITY, bytes, head.authorityStart, at);
}

/** Host and port, both there (RFC 9112 section 3.2.3). */
function isAuthorityForm(bytes: Buffer, start: number, end: number): boolean {
  let port = end;
  while (port > start && isDigit(bytes[port - 1] ?? 0)) port--;
  const hasPort = port < end && port - 1 > start && bytes[port - 1] === 0x3a;
  return hasPort && allIn(AUTHORITY, bytes, start, end);
}

function methodAt(bytes: Buffer, start: number, end: number): string {
  // By length: no two candidates of a length begin with the same byte.
  switch (end - start) {
    case 3:
      if (is(bytes, start, 'GET')) return 'GET';
      if (is(bytes, start, 'PUT')) return 'PUT';
      break;
    case 4:
      if (is(bytes, start, 'POST')) return 'POST';
      if (is(bytes, start, 'HEAD')) return 'HEAD';
      break;
    case 5:
      if (is(bytes, start, 'PATCH')) return 'PATCH';
      if (is(bytes, start, 'TRACE')) return 'TRACE';
      break;
    case 6:
      if (is(bytes, start, 'DELETE')) return 'DELETE';
      break;
    case 7:
      if (is(bytes, start, 'OPTIONS')) return 'OPTIONS';
      if (is(bytes, start, 'CONNECT')) return 'CONNECT';
      break;
  }
  return bytes.toString('latin1', start, end);
}

/** Methods are case-sensitive (RFC 9110 section 9.1). */
function is(bytes: Buffer, start: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** The number of three digits, -1 when they are none. */
function statusAt(bytes: Buffer, at: number): number {
  let status = 0;
  for (let i = 0; i < 3; i++) {
    const byte = bytes[at + i] ?? 0;
    if (!isDigit(byte)) return -1;
    status = status * 10 + byte - 0x30;
  }
  return status;
}

function isLineEnd(bytes: Buffer, at: number, end: number): boolean {
  return at + 1 < end && bytes[at] === CARRIAGE_RETURN && bytes[at + 1] === LINE_FEED;
}

function refuse(head: Head, fault: Http1Fault): -1 {
  head.fault = fault;
  return -1;
}

const SLASH = 0x2f;
const QUESTION_MARK = 0x3f;
const ASTERISK = 0x2a;
