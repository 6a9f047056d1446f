import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { RE2JS, RE2JSSyntaxException } from 're2js';

import {
  type NamedMatch,
  NamedMatchSchema,
  type PathMatch,
  PathMatchSchema,
  type RequestMatch,
  RequestMatchSchema,
} from '#api/gen/waypoint_pb.ts';

import { isBlank, list, record, text, type Written } from '../model/written.ts';

/** Proxies refuse a route with a longer one as a whole. */
const REGEX_LENGTH_MAX = 1_024;
/** What the definitions of the kinds fill in. */
const EXACT = 'Exact';
const REGEX = 'RegularExpression';
/** A service or a method that nobody has named. */
const ANY_SEGMENT = '[^/]+';

/** One entry of an HTTPRoute's `matches`; a text: what of it can't be read, so that it never holds. */
export function httpMatch(written: unknown): RequestMatch | string {
  const { path, headers, queryParams, method } = record(written);
  const wanted = isBlank(path) ? undefined : httpPath(record(path));
  const headerMatches = namedMatches(headers, 'header');
  const query = namedMatches(queryParams, 'query parameter');
  if (typeof wanted === 'string') return wanted;
  if (typeof headerMatches === 'string') return headerMatches;
  if (typeof query === 'string') return query;
  return create(RequestMatchSchema, {
    ...(wanted === undefined ? {} : { path: wanted }),
    headers: [...headerMatches],
    query: [...query],
    method: text(method) ?? '',
  });
}

/** One entry of a GRPCRoute's `matches`: a method is a path. As {@link httpMatch} otherwise. */
export function grpcMatch(written: unknown): RequestMatch | string {
  const { method, headers } = record(written);
  const path = isBlank(method) ? undefined : grpcPath(record(method));
  const headerMatches = namedMatches(headers, 'header');
  if (typeof path === 'string') return path;
  if (typeof headerMatches === 'string') return headerMatches;
  return create(RequestMatchSchema, {
    ...(path === undefined ? {} : { path }),
    headers: [...headerMatches],
  });
}

/** A text: why it can't be read. */
function httpPath({ type, value }: Written): PathMatch | string {
  const path = isBlank(value) ? '/' : text(value);
  if (path === undefined) return `path ${JSON.stringify(value)} is no text`;
  if (type !== REGEX && !path.startsWith('/'))
    return `path ${JSON.stringify(path)} does not begin with a slash`;
  switch (type ?? 'PathPrefix') {
    case EXACT:
      return pathOf({ case: 'exact', value: path });
    case 'PathPrefix':
      return pathOf({ case: 'prefix', value: path });
    case REGEX:
      return regexPath(path, 'path');
    default:
      return `there is no match of a path of type ${JSON.stringify(type)}`;
  }
}

/** A text: why it can't be read. Undefined: every method. */
function grpcPath({ type, service, method }: Written): PathMatch | string | undefined {
  const named = { service: text(service), method: text(method) };
  if (named.service === undefined && named.method === undefined) return undefined;
  const isExact = (type ?? EXACT) === EXACT;
  if (!isExact && type !== REGEX)
    return `there is no match of a method of type ${JSON.stringify(type)}`;
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
  return regexPath(value, 'method');
}

function regexPath(value: string, what: string): PathMatch | string {
  const problem = regexProblem(value);
  return problem === undefined ? pathOf({ case: 'regex', value }) : `${what} ${problem}`;
}

/** Of several with the same name the first counts. A text: why one can't be read. */
function namedMatches(
  written: unknown,
  what: 'header' | 'query parameter',
): readonly NamedMatch[] | string {
  const matches = new Map<string, NamedMatch>();
  for (const one of list(written)) {
    const { type, name: said, value } = record(one);
    const name = text(said);
    if (name === undefined) return `a ${what} has no name`;
    if (typeof value !== 'string') return `${what} ${name} has no value`;
    const kind = new Map<unknown, 'exact' | 'regex'>([
      [undefined, 'exact'],
      [EXACT, 'exact'],
      [REGEX, 'regex'],
    ]).get(type);
    if (kind === undefined) return `there is no match of a ${what} of type ${JSON.stringify(type)}`;
    const problem = kind === 'regex' ? regexProblem(value) : undefined;
    if (problem !== undefined) return `${what} ${name}: ${problem}`;
    const key = what === 'header' ? name.toLowerCase() : name;
    if (matches.has(key)) continue;
    matches.set(key, create(NamedMatchSchema, { name: key, value: { case: kind, value } }));
  }
  return [...matches.values()];
}

function pathOf(kind: NonNullable<MessageInitShape<typeof PathMatchSchema>['kind']>): PathMatch {
  return create(PathMatchSchema, { kind });
}

/** What is wrong with it. In the syntax of RE2: what proxies can't compile they refuse, with all of the route. */
function regexProblem(value: string): string | undefined {
  if (value.length === 0) return 'is an empty regular expression';
  if (value.length > REGEX_LENGTH_MAX)
    return `is a regular expression of more than ${REGEX_LENGTH_MAX} characters`;
  try {
    RE2JS.compile(value);
    return undefined;
  } catch (error) {
    // It repeats the expression at its end.
    const why = error instanceof RE2JSSyntaxException ? error.getDescription() : String(error);
    return `${JSON.stringify(value)} is no regular expression of RE2: ${why}`;
  }
}

function quoted(value: string): string {
  return value.replaceAll(/[\\^$.|?*+()[\]{}]/g, String.raw`\$&`);
}
