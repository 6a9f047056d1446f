/** The layout of HTTP/2 frames (RFC 9113 sections 4 and 6): numbers, and writers that keep no state. */

export const FRAME_HEADER_LENGTH = 9;

export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  resetStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const Flag = {
  /** On DATA and HEADERS. */
  endStream: 0x1,
  /** On SETTINGS and PING. */
  ack: 0x1,
  endHeaders: 0x4,
  padded: 0x8,
  priority: 0x20,
} as const;

/** Error codes of RST_STREAM and GOAWAY (RFC 9113 section 7). Peers may send others, so these are plain numbers. */
export const ErrorCode = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  connectError: 0xa,
  enhanceYourCalm: 0xb,
  inadequateSecurity: 0xc,
  http11Required: 0xd,
} as const;

const ERROR_NAMES: readonly string[] = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
];

/** `STREAM_CLOSED` for 5; a code that no document names becomes `0x5f`. */
export function errorName(code: number): string {
  return ERROR_NAMES[code] ?? `0x${code.toString(16)}`;
}

/** What a client sends first (RFC 9113 section 3.4). */
export const PREFACE: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** The largest window, stream id and increment: 31 bits. */
export const MAX_31_BITS = 0x7fff_ffff;

export const SETTING_LENGTH = 6;
export const PING_LENGTH = 8;
export const PRIORITY_LENGTH = 5;

/** Writes the nine bytes of a frame header at `at`. The caller made room. `kind`: see {@link typeAndFlags}. */
// oxlint-disable-next-line max-params -- once per frame: an object would be an allocation each
export function writeFrameHeader(
  bytes: Buffer,
  at: number,
  length: number,
  kind: number,
  streamId: number,
): void {
  bytes[at] = length >>> 16;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = kind >>> 8;
  bytes[at + 4] = kind;
  bytes[at + 5] = streamId >>> 24;
  bytes[at + 6] = streamId >>> 16;
  bytes[at + 7] = streamId >>> 8;
  bytes[at + 8] = streamId;
}

/** Type and flags of a frame as one number. */
export function typeAndFlags(type: number, flags: number): number {
  return (type << 8) | flags;
}

export function readUint32(bytes: Buffer, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) |
      ((bytes[at + 1] ?? 0) << 16) |
      ((bytes[at + 2] ?? 0) << 8) |
      (bytes[at + 3] ?? 0)) >>>
    0
  );
}

/** As {@link readUint32} without the first bit, which is reserved in stream ids and increments. */
export function readUint31(bytes: Buffer, at: number): number {
  return readUint32(bytes, at) & MAX_31_BITS;
}

export function writeUint32(bytes: Buffer, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** A frame whose payload is one 32-bit number: RST_STREAM and WINDOW_UPDATE. Returns the end. */
// oxlint-disable-next-line max-params -- as above
export function writeNumberFrame(
  bytes: Buffer,
  at: number,
  type: number,
  streamId: number,
  value: number,
): number {
  writeFrameHeader(bytes, at, 4, type << 8, streamId);
  writeUint32(bytes, at + 9, value);
  return at + 13;
}
