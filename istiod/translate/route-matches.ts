import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { RE2JS } from 're2js';

import {
  type NamedMatch,
  NamedMatchSchema,
  type PathMatch,
  PathMatchSchema,
  type RequestMatch,
  RequestMatchSchema,
} from '#api/gen/waypoint_pb.ts';

import { isBlank, list, record, text, type Written } from './written.ts';

/** Proxies refuse a route with a longer one as a whole. */
const REGEX_LENGTH_MAX = 1_024;
/** What the definitions of the kinds fill in. */
const EXACT = 'Exact';
const REGEX = 'RegularExpression';
/** A service or a method that nobody has named. */
const ANY_SEGMENT = '[^/]+';

/** One entry of an HTTPRoute's `matches`; undefined when something in it can't be read, and so never holds. */
export function httpMatch(written: unknown): RequestMatch | undefined {
  const { path, headers, queryParams, method } = record(written);
  const wanted = isBlank(path) ? undefined : httpPath(record(path));
  const headerMatches = namedMatches(headers, (name) => name.toLowerCase());
  const query = namedMatches(queryParams, (name) => name);
  if (wanted === null || headerMatches === undefined || query === undefined) return undefined;
  return create(RequestMatchSchema, {
    ...(wanted === undefined ? {} : { path: wanted }),
    headers: [...headerMatches],
    query: [...query],
    method: text(method) ?? '',
  });
}

/** One entry of a GRPCRoute's `matches`: a method is a path. */
export function grpcMatch(written: unknown): RequestMatch | undefined {
  const { method, headers } = record(written);
  const path = isBlank(method) ? undefined : grpcPath(record(method));
  const headerMatches = namedMatches(headers, (name) => name.toLowerCase());
  if (path === null || headerMatches === undefined) return undefined;
  return create(RequestMatchSchema, {
    ...(path === undefined ? {} : { path }),
    headers: [...headerMatches],
  });
}

/** Null: it can't be read. */
function httpPath({ type, value }: Written): PathMatch | null {
  const path = isBlank(value) ? '/' : text(value);
  if (path === undefined) return null;
  switch (type ?? 'PathPrefix') {
    case EXACT:
      return pathOf({ case: 'exact', value: path });
    case 'PathPrefix':
      return pathOf({ case: 'prefix', value: path });
    case REGEX:
      return isRegex(path) ? pathOf({ case: 'regex', value: path }) : null;
    default:
      return null;
  }
}

/** Null: it can't be read. Undefined: every method. */
function grpcPath({ type, service, method }: Written): PathMatch | null | undefined {
  const named = { service: text(service), method: text(method) };
  if (named.service === undefined && named.method === undefined) return undefined;
  const isExact = (type ?? EXACT) === EXACT;
  if (!isExact && type !== REGEX) return null;
  if (isExact && named.service !== undefined) {
    return named.method === undefined
      ? pathOf({ case: 'prefix', value: `/${named.service}` })
      : pathOf({ case: 'exact', value: `/${named.service}/${named.method}` });
  }
  const part = (one: string | undefined): string => {
    if (one === undefined) return ANY_SEGMENT;
    return isExact ? quoted(one) : `(?:${one})`;
  };
  const value = `/${part(named.service)}/${part(named.method)}`;
  return isRegex(value) ? pathOf({ case: 'regex', value }) : null;
}

/** Of several with the same name the first counts. Undefined: one can't be read. */
function namedMatches(
  written: unknown,
  nameOf: (name: string) => string,
): readonly NamedMatch[] | undefined {
  const matches = new Map<string, NamedMatch>();
  for (const one of list(written)) {
    const { type, name: said, value } = record(one);
    const name = text(said);
    if (name === undefined || typeof value !== 'string') return undefined;
    const kind = new Map<unknown, 'exact' | 'regex'>([
      [undefined, 'exact'],
      [EXACT, 'exact'],
      [REGEX, 'regex'],
    ]).get(type);
    if (kind === undefined || (kind === 'regex' && !isRegex(value))) return undefined;
    const key = nameOf(name);
    if (matches.has(key)) continue;
    matches.set(key, create(NamedMatchSchema, { name: key, value: { case: kind, value } }));
  }
  return [...matches.values()];
}

function pathOf(kind: NonNullable<MessageInitShape<typeof PathMatchSchema>['kind']>): PathMatch {
  return create(PathMatchSchema, { kind });
}

/** In the syntax of RE2: what proxies can't compile they refuse, with all of the route. */
function isRegex(value: string): boolean {
  if (value.length === 0 || value.length > REGEX_LENGTH_MAX) return false;
  try {
    RE2JS.compile(value);
    return true;
  } catch {
    return false;
  }
}

function quoted(value: string): string {
  return value.replaceAll(/[\\^$.|?*+()[\]{}]/g, String.raw`\$&`);
}
