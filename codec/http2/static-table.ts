import { type Field, makeField } from './field.ts';

/** The static table (RFC 7541 appendix A), in order; the first entry has index 1. */
const ENTRIES: readonly (readonly [name: string, value: string])[] = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'],
  ['accept-language', ''],
  ['accept-ranges', ''],
  ['accept', ''],
  ['access-control-allow-origin', ''],
  ['age', ''],
  ['allow', ''],
  ['authorization', ''],
  ['cache-control', ''],
  ['content-disposition', ''],
  ['content-encoding', ''],
  ['content-language', ''],
  ['content-length', ''],
  ['content-location', ''],
  ['content-range', ''],
  ['content-type', ''],
  ['cookie', ''],
  ['date', ''],
  ['etag', ''],
  ['expect', ''],
  ['expires', ''],
  ['from', ''],
  ['host', ''],
  ['if-match', ''],
  ['if-modified-since', ''],
  ['if-none-match', ''],
  ['if-range', ''],
  ['if-unmodified-since', ''],
  ['last-modified', ''],
  ['link', ''],
  ['location', ''],
  ['max-forwards', ''],
  ['proxy-authenticate', ''],
  ['proxy-authorization', ''],
  ['range', ''],
  ['referer', ''],
  ['refresh', ''],
  ['retry-after', ''],
  ['server', ''],
  ['set-cookie', ''],
  ['strict-transport-security', ''],
  ['transfer-encoding', ''],
  ['user-agent', ''],
  ['vary', ''],
  ['via', ''],
  ['www-authenticate', ''],
];

/** Entries of the static table: the dynamic table begins at the index after it. */
export const STATIC_COUNT: number = ENTRIES.length;

/** By index - 1. The entries are shared: a decoder hands out the same header tuple every time. */
export const STATIC_FIELDS: readonly Field[] = ENTRIES.map(([name, value]) =>
  makeField(name, value, true),
);

/** Where a name stands in the static table. Entries of one name are neighbours. */
export interface StaticName {
  /** Index of the first entry with this name. */
  readonly index: number;
  /** The values of the entries from `index` on. */
  readonly values: readonly string[];
}

export const STATIC_NAMES: ReadonlyMap<string, StaticName> = indexNames();

function indexNames(): Map<string, StaticName> {
  const names = new Map<string, { index: number; values: string[] }>();
  for (const [i, [name, value]] of ENTRIES.entries()) {
    const known = names.get(name);
    if (known === undefined) names.set(name, { index: i + 1, values: [value] });
    else known.values.push(value);
  }
  return names;
}
