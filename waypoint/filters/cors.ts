import type { Header } from '#codec/http2/field.ts';

import type { RequestHead } from '../request/head.ts';

/** What pages of other origins may do (Fetch standard, CORS protocol; Gateway API, HTTPCORSFilter). */
export interface CorsRules {
  readonly origins: 'any' | readonly OriginRule[];
  /** With cookies and the like. */
  readonly credentials: boolean;
  /** As the header that says so; empty: nothing beyond what is always allowed. */
  readonly methods: string;
  readonly requestHeaders: string;
  readonly exposedHeaders: string;
  readonly maxAgeS: number;
}

/** An origin in lower case; `end` undefined: it is `begin`, otherwise something stands between the two. */
export interface OriginRule {
  readonly begin: string;
  readonly end: string | undefined;
}

export type CorsAnswer =
  /** The page asks before it sends: that is answered at once, and goes no further. */
  | { readonly kind: 'preflight'; readonly fields: readonly Header[] }
  /** What the answer to the request gets. */
  | { readonly kind: 'actual'; readonly fields: readonly Header[] };

const NOTHING: CorsAnswer = { kind: 'actual', fields: [] };
const REFUSED: CorsAnswer = { kind: 'preflight', fields: [] };
/** Says everything, to requests without credentials. */
const ANY = '*';

/** What the rules say to a request. An origin that they don't allow gets no permission, and its browser keeps the answer from it. */
export function corsAnswer(rules: CorsRules, request: RequestHead): CorsAnswer {
  const origin = request.header('origin');
  if (origin === undefined) return NOTHING;
  const asked =
    request.method === 'OPTIONS' ? request.header('access-control-request-method') : undefined;
  const allowed = allowedOrigin(rules, origin);
  if (allowed === undefined) return asked === undefined ? NOTHING : REFUSED;
  const fields: Header[] = [['access-control-allow-origin', allowed]];
  // Caches must not give the answer to another origin.
  if (allowed !== ANY) fields.push(['vary', 'Origin']);
  if (rules.credentials) fields.push(['access-control-allow-credentials', 'true']);
  if (asked === undefined) {
    push(fields, 'access-control-expose-headers', rules.exposedHeaders);
    return { kind: 'actual', fields };
  }
  const headers = request.header('access-control-request-headers') ?? '';
  push(fields, 'access-control-allow-methods', permitted(rules.methods, rules, asked));
  push(fields, 'access-control-allow-headers', permitted(rules.requestHeaders, rules, headers));
  fields.push(['access-control-max-age', String(rules.maxAgeS)]);
  return { kind: 'preflight', fields };
}

/** Of `https://a.test` or `https://*.a.test`; undefined: it is no such thing. */
export function originRule(pattern: string): OriginRule | undefined {
  if (!/^[a-z][a-z0-9+.-]*:\/\/[a-z0-9.*:[\]-]+$/i.test(pattern)) return undefined;
  const [begin = '', end, ...more] = pattern.toLowerCase().split('*');
  return more.length > 0 ? undefined : { begin, end };
}

/** What stands in Access-Control-Allow-Origin. */
function allowedOrigin({ origins, credentials }: CorsRules, origin: string): string | undefined {
  if (!SENDABLE.test(origin)) return undefined;
  if (origins === 'any') return credentials ? origin : ANY;
  const given = origin.toLowerCase();
  return origins.some((rule) => isOrigin(rule, given)) ? origin : undefined;
}

function isOrigin({ begin, end }: OriginRule, given: string): boolean {
  if (end === undefined) return given === begin;
  return given.length > begin.length + end.length && given.startsWith(begin) && given.endsWith(end);
}

/** To requests with credentials the star is a name like any other: they are told what they have asked for. */
function permitted(configured: string, { credentials }: CorsRules, asked: string): string {
  if (configured !== ANY || !credentials) return configured;
  return SENDABLE.test(asked) ? asked : '';
}

/** What is sent back as it came: nothing that could be more than a value. */
const SENDABLE = /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/;

function push(fields: Header[], name: string, value: string): void {
  if (value !== '') fields.push([name, value]);
}
