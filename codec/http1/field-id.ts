import { invariant } from '#common/assert.ts';

/**
 * Small numbers for the names that the codec, or almost every rule and log line, asks for. Everything else is
 * `other` and found by comparing.
 */
export const FieldId = {
  other: 0,
  // They frame the message, or belong to one connection; `isSpecial` covers them, up to `host`.
  contentLength: 1,
  transferEncoding: 2,
  connection: 3,
  keepAlive: 4,
  proxyConnection: 5,
  te: 6,
  trailer: 7,
  upgrade: 8,
  expect: 9,
  host: 10,
  // End to end.
  accept: 11,
  acceptEncoding: 12,
  authorization: 13,
  cacheControl: 14,
  contentEncoding: 15,
  contentRange: 16,
  contentType: 17,
  cookie: 18,
  date: 19,
  forwarded: 20,
  location: 21,
  maxForwards: 22,
  origin: 23,
  proxyAuthenticate: 24,
  proxyAuthorization: 25,
  range: 26,
  referer: 27,
  server: 28,
  setCookie: 29,
  traceparent: 30,
  tracestate: 31,
  userAgent: 32,
  via: 33,
  wwwAuthenticate: 34,
  xForwardedFor: 35,
  xForwardedHost: 36,
  xForwardedProto: 37,
  xRequestId: 38,
  baggage: 39,
} as const;
export type FieldId = (typeof FieldId)[keyof typeof FieldId];

/** Lower-case names; the index is the id. */
export const FIELD_NAMES: readonly string[] = Object.keys(FieldId).map((key) =>
  key === 'other' ? '' : key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
);

export const FIELD_ID_COUNT: number = FIELD_NAMES.length;

/** Does the codec itself look at this field? */
export function isSpecial(id: number): boolean {
  return id !== FieldId.other && id <= FieldId.host;
}

/** Belongs to one connection and is never forwarded as it is (RFC 9110 section 7.6.1). */
export function isConnectionField(id: number): boolean {
  return id >= FieldId.transferEncoding && id <= FieldId.upgrade && id !== FieldId.trailer;
}

/** The id of a lower-case name. */
export function fieldIdOf(lowerName: string): FieldId {
  return IDS.get(lowerName) ?? FieldId.other;
}

/** The id of the name `bytes[start, end)`, which is a token. */
export function fieldIdAt(bytes: Buffer, start: number, end: number): FieldId {
  const id = BY_KEY[keyOf(end - start, bytes[start] ?? 0, bytes[end - 1] ?? 0)] ?? 0;
  if (id === 0) return FieldId.other;
  const name = NAME_BYTES[id] ?? NO_BYTES;
  if (name.length !== end - start) return FieldId.other;
  for (let i = 0; i < name.length; i++)
    if (((bytes[start + i] ?? 0) | 0x20) !== name[i]) return FieldId.other;
  return id as FieldId;
}

const NO_BYTES: Uint8Array = new Uint8Array(0);
const NAME_BYTES: readonly Uint8Array[] = FIELD_NAMES.map((name) => Buffer.from(name));

const IDS: ReadonlyMap<string, FieldId> = new Map(
  FIELD_NAMES.flatMap((name, id) => (id === 0 ? [] : [[name, id as FieldId]])),
);

/** Length, first and last byte tell the known names apart. Bit 5 makes letters lower-case; "-" has it. */
function keyOf(length: number, first: number, last: number): number {
  return ((length & 31) << 10) | ((first & 31) << 5) | (last & 31);
}

const BY_KEY: Uint8Array = new Uint8Array(1 << 15);
for (const [name, id] of IDS) {
  const key = keyOf(name.length, name.charCodeAt(0), name.charCodeAt(name.length - 1));
  invariant(BY_KEY[key] === 0, `two known field names share the key of ${name}`);
  BY_KEY[key] = id;
}
