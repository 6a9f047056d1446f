import { randomFillSync } from 'node:crypto';

import { formatSocketAddress, type SocketAddress } from '#common/net/address.ts';

// What a CONNECT and its answer say about both ends. It comes from the peer and proves nothing: it
// goes into logs and metrics, never into a decision. What can't be read counts as not said.

export const BAGGAGE_HEADER = 'baggage';
export const FORWARDED_HEADER = 'forwarded';
export const TRACEPARENT_HEADER = 'traceparent';

export const WORKLOAD_TYPES = ['deployment', 'cronjob', 'pod', 'job'] as const;
export type WorkloadType = (typeof WORKLOAD_TYPES)[number];

/** What baggage tells about a workload. Undefined or absent: not known. */
export interface Baggage {
  readonly clusterId?: string | undefined;
  readonly namespace?: string | undefined;
  readonly workloadName?: string | undefined;
  /** Written only together with `workloadName`. */
  readonly workloadType?: WorkloadType | undefined;
  readonly canonicalName?: string | undefined;
  readonly canonicalRevision?: string | undefined;
  readonly region?: string | undefined;
  readonly zone?: string | undefined;
}

/** W3C Baggage section 3.3.2 asks for at least 8,192 bytes and 64 entries; ours needs far less. */
const BAGGAGE_LENGTH_MAX = 8_192;
const BAGGAGE_ENTRIES_MAX = 64;
/** Kubernetes names have at most 253 characters. */
const BAGGAGE_VALUE_LENGTH_MAX = 256;

/** The keys other than that of the workload's name, in the order of writing. */
const KEYS = new Map<string, keyof Baggage>([
  ['k8s.cluster.name', 'clusterId'],
  ['k8s.namespace.name', 'namespace'],
  ['service.name', 'canonicalName'],
  ['service.version', 'canonicalRevision'],
  ['cloud.region', 'region'],
  ['cloud.availability_zone', 'zone'],
]);
const WORKLOAD_KEYS = new Map<string, WorkloadType>(
  WORKLOAD_TYPES.map((type) => [`k8s.${type}.name`, type]),
);

/**
 * Writes the `baggage` of a workload (W3C Baggage section 3.3, without percent-encoding: the readers
 * in the field don't decode it). What is unknown is left out, and so is a value that the header can't
 * carry. Nothing known: the empty string.
 */
export function writeBaggage(baggage: Baggage): string {
  const { workloadName, workloadType } = baggage;
  const entries: string[] = [];
  const add = (key: string, value: string | undefined): void => {
    if (value !== undefined && isBaggageValue(value)) entries.push(`${key}=${value}`);
  };
  for (const [key, field] of KEYS) {
    add(key, baggage[field]);
    // The name of the workload stands after its namespace.
    if (field === 'namespace' && workloadType !== undefined)
      add(`k8s.${workloadType}.name`, workloadName);
  }
  return entries.join(',');
}

/**
 * Reads all `baggage` header lines of one message. Unknown keys, empty and unusable values are
 * skipped; a key that comes again wins; more than {@link BAGGAGE_LENGTH_MAX} characters tell nothing,
 * and entries beyond {@link BAGGAGE_ENTRIES_MAX} are not looked at.
 */
export function parseBaggage(lines: readonly string[]): Baggage {
  const baggage: { -readonly [Field in keyof Baggage]: Baggage[Field] } = {};
  let length = 0;
  for (const line of lines) length += line.length;
  if (length > BAGGAGE_LENGTH_MAX) return baggage;
  let entries = 0;
  for (const line of lines) {
    for (const entry of line.split(',', BAGGAGE_ENTRIES_MAX - entries)) {
      entries++;
      const equals = entry.indexOf('=');
      if (equals < 0) continue;
      readEntry(baggage, entry.slice(0, equals).trim(), entry.slice(equals + 1).trim());
    }
  }
  return baggage;
}

function readEntry(
  baggage: { -readonly [Field in keyof Baggage]: Baggage[Field] },
  key: string,
  value: string,
): void {
  if (!isBaggageValue(value)) return;
  const workloadType = WORKLOAD_KEYS.get(key);
  if (workloadType !== undefined) {
    baggage.workloadName = value;
    baggage.workloadType = workloadType;
    return;
  }
  const field = KEYS.get(key);
  if (field !== undefined && field !== 'workloadType') baggage[field] = value;
}

// Printable ASCII without the comma: it separates entries.
function isBaggageValue(value: string): boolean {
  return value.length <= BAGGAGE_VALUE_LENGTH_MAX && /^[\x21-\x2b\x2d-\x7e]+$/.test(value);
}

/** What `forwarded` tells about the connection that is inside the tunnel. */
export interface Forwarded {
  /** The address that the connection came from, as the peer wrote it. */
  readonly for?: string;
  /** The service that the client asked for. */
  readonly host?: string;
}

/** A line longer than this is not read. Two addresses and a name are below 400 characters. */
const FORWARDED_LENGTH_MAX = 1_024;
/** A host name of 253 characters with a port. */
const FORWARDED_VALUE_LENGTH_MAX = 259;

/**
 * Writes `forwarded` (RFC 7239 section 4): where the connection came from, and, when known, the host
 * name of the service that it went to. The host must be a host name (see authority.ts).
 */
export function writeForwarded(source: SocketAddress, host: string | undefined): string {
  const from = `for="${formatSocketAddress(source)}"`;
  return host === undefined ? from : `${from};host=${host}`;
}

// One `name=value` of RFC 7239 section 4, its value a token (and the characters that real senders
// leave unquoted: colon, brackets, slash) or a quoted string, then what separates it from the next.
const PAIR =
  /[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+.^_`|~0-9A-Za-z:/[\]-]+))[ \t]*(?:[;,]|$)/y;

/**
 * Reads the `forwarded` header lines of one message. Of several elements the first that has the
 * parameter counts: it is nearest to the client. Undefined when a line is longer than
 * {@link FORWARDED_LENGTH_MAX} or is not of RFC 7239's form, or a value is empty, too long, or holds
 * anything but printable ASCII.
 */
export function parseForwarded(lines: readonly string[]): Forwarded | undefined {
  const text = lines.join(',');
  if (text.length > FORWARDED_LENGTH_MAX) return undefined;
  const found: { for?: string; host?: string } = {};
  PAIR.lastIndex = 0;
  while (PAIR.lastIndex < text.length) {
    const match = PAIR.exec(text);
    if (match === null) return undefined;
    const [, name = '', quoted, token] = match;
    const parameter = name.toLowerCase();
    if (parameter !== 'for' && parameter !== 'host') continue;
    const value = quoted?.replaceAll(/\\(.)/g, '$1') ?? token ?? '';
    if (value.length > FORWARDED_VALUE_LENGTH_MAX || !/^[\x21-\x7e]+$/.test(value))
      return undefined;
    found[parameter] ??= value;
  }
  return found;
}

/** Trace Context section 3.2: version, trace id, parent id, flags. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Trace id and parent id. */
const TRACE_BYTES = 24;
// Drawn by the page: asking the generator costs more than all the rest of a connection's headers.
const randomPool = Buffer.alloc(170 * TRACE_BYTES);
let randomAt = randomPool.length;

/** A new `traceparent`: version 00, random ids, not sampled. */
export function newTraceparent(): string {
  if (randomAt + TRACE_BYTES > randomPool.length) {
    randomFillSync(randomPool);
    randomAt = 0;
  }
  const random = randomPool.subarray(randomAt, randomAt + TRACE_BYTES);
  randomAt += TRACE_BYTES;
  // Ids of zeros only are invalid.
  random[0] = (random[0] ?? 0) | 1;
  random[16] = (random[16] ?? 0) | 1;
  const ids = random.toString('hex');
  return `00-${ids.slice(0, 32)}-${ids.slice(32)}-00`;
}

/** The value itself when it is a `traceparent` of exactly 55 characters; otherwise undefined. */
export function parseTraceparent(value: string): string | undefined {
  return TRACEPARENT.test(value) ? value : undefined;
}
