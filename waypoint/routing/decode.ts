import { fromBinary } from '@bufbuild/protobuf';

import {
  RouteSchema,
  type Backend as WireBackend,
  type Filter as WireFilter,
  type RequestMatch as WireMatch,
  type HeaderModifier as WireModifier,
  type NamedMatch as WireNamed,
  type PathMatch as WirePath,
  type PathRewrite as WireRewrite,
  type Route as WireRoute,
  type Rule as WireRule,
} from '#api/gen/waypoint_pb.ts';
import { headEdits } from '#codec/http1/edits.ts';
import { type CorsRules, originRule } from '../filters/cors.ts';
import { comparablePath, sendableTarget } from '../request/normalize.ts';
import type {
  NamedRule,
  PathRewrite,
  PathRule,
  Route,
  RouteBackend,
  RouteFilter,
  RouteMatch,
  RouteParent,
  RouteRule,
} from './model.ts';
import { type WholeText, wholeText } from './regex.ts';

/** A longer expression is refused: compiling one costs more than its length. */
const REGEX_LENGTH_MAX = 1_024;
/** Enough to see what is wrong. */
const PROBLEMS_MAX = 5;
const DEFAULT_BACKOFF_MS = 25;

export type DecodedRoute =
  | { readonly kind: 'route'; readonly route: Route }
  /** For whoever runs the control plane. */
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * Reads an `ambit.waypoint.Route`. `name`: what the resource is called on the wire. What can't be carried out as it is
 * said refuses the route as a whole: half a route would send requests where nobody wanted them.
 */
export function decodeRoute(name: string, bytes: Uint8Array): DecodedRoute {
  const reading = new Reading();
  let wire: WireRoute;
  try {
    wire = fromBinary(RouteSchema, bytes);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { kind: 'refused', reason: `not an ambit.waypoint.Route: ${why}` };
  }
  const key = `${wire.kind}/${wire.namespace}/${wire.name}`;
  if (key !== name) reading.problem(`its name is ${JSON.stringify(key)}`);
  const route: Route = {
    key,
    namespace: wire.namespace,
    name: wire.name,
    createdMs: Number(wire.createdMs),
    parents: wire.parents.flatMap((parent) => parentOf(parent, reading)),
    rules: wire.rules.map((rule, index) => ruleOf(rule, { key, index }, reading)),
  };
  const { problems } = reading;
  if (problems.length > 0) return { kind: 'refused', reason: problems.join(', ') };
  return { kind: 'route', route };
}

class Reading {
  readonly problems: string[] = [];

  problem(text: string): void {
    if (this.problems.length < PROBLEMS_MAX) this.problems.push(text);
  }

  regex(text: string): WholeText {
    if (text.length > REGEX_LENGTH_MAX) {
      this.problem(`an expression has ${text.length} characters: want at most ${REGEX_LENGTH_MAX}`);
      return NEVER;
    }
    try {
      return wholeText(text);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.problem(`${JSON.stringify(text)} is no expression: ${why}`);
      return NEVER;
    }
  }
}

const NEVER = wholeText('[^\\x00-\\x{10FFFF}]');

function parentOf(
  { service, port }: WireRoute['parents'][number],
  reading: Reading,
): readonly RouteParent[] {
  if (service === undefined) {
    reading.problem('a parent is no service');
    return [];
  }
  const { namespace, hostname } = service;
  return [{ namespace, hostname, port: port === 0 ? undefined : port }];
}

function ruleOf(
  wire: WireRule,
  { key, index }: { readonly key: string; readonly index: number },
  reading: Reading,
): RouteRule {
  const { timeouts, retry } = wire;
  return {
    route: key,
    name: wire.name === '' ? String(index) : wire.name,
    matches: wire.matches.map((match) => matchOf(match, reading)),
    filters: wire.filters.flatMap((filter) =>
      filter.kind.case === 'cors' ? [] : filterOf(filter, reading),
    ),
    cors: corsOf(wire.filters, reading),
    backends: wire.backends.map((backend) => backendOf(backend, reading)),
    requestTimeoutMs: timeoutOf(timeouts?.requestMs),
    attemptTimeoutMs: timeoutOf(timeouts?.backendRequestMs),
    retry:
      retry === undefined
        ? undefined
        : {
            attempts: retry.attempts,
            codes: retry.codes,
            backoffMs: Number(retry.backoffMs) || DEFAULT_BACKOFF_MS,
          },
    invalid: wire.invalid === '' ? undefined : wire.invalid,
  };
}

/** 0 says that there is none. */
function timeoutOf(given: bigint | undefined): number | undefined {
  return given === undefined || given === 0n ? undefined : Number(given);
}

function matchOf(wire: WireMatch, reading: Reading): RouteMatch {
  return {
    path: wire.path === undefined ? undefined : pathOf(wire.path, reading),
    headers: wire.headers.flatMap((one) => namedOf(one, one.name.toLowerCase(), reading)),
    query: wire.query.flatMap((one) => namedOf(one, one.name, reading)),
    method: wire.method === '' ? undefined : wire.method,
  };
}

function pathOf({ kind }: WirePath, reading: Reading): PathRule | undefined {
  switch (kind.case) {
    case 'exact':
    case 'prefix':
      return { kind: kind.case, value: comparablePath(kind.value) };
    case 'regex':
      return { kind: 'regex', value: kind.value, ...reading.regex(kind.value) };
    case undefined:
      reading.problem('a path match is of an unknown kind');
      return undefined;
  }
}

function namedOf({ value }: WireNamed, name: string, reading: Reading): readonly NamedRule[] {
  switch (value.case) {
    case 'exact':
      return [{ name, rule: { kind: 'exact', value: value.value } }];
    case 'regex':
      return [{ name, rule: { kind: 'regex', ...reading.regex(value.value) } }];
    case undefined:
      reading.problem(`the match of ${JSON.stringify(name)} is of an unknown kind`);
      return [];
  }
}

function filterOf({ kind }: WireFilter, reading: Reading): readonly RouteFilter[] {
  switch (kind.case) {
    case 'requestHeaders':
      return editsOf('request-headers', kind.value, reading);
    case 'responseHeaders':
      return editsOf('response-headers', kind.value, reading);
    case 'redirect': {
      const { scheme, hostname, path, port, status } = kind.value;
      return [
        {
          kind: 'redirect',
          scheme: schemeOf(scheme, reading),
          hostname: hostnameOf(hostname, reading),
          path: rewriteOf(path, reading),
          port: port === 0 ? undefined : port,
          status: status === 0 ? 302 : status,
        },
      ];
    }
    case 'rewrite': {
      const { hostname, path } = kind.value;
      return [
        {
          kind: 'rewrite',
          hostname: hostnameOf(hostname, reading),
          path: rewriteOf(path, reading),
        },
      ];
    }
    case 'mirror':
    case 'cors':
    case undefined:
      // What a filter would do is not left out in silence.
      reading.problem(`filter "${kind.case ?? 'of an unknown kind'}" is not served`);
      return [];
  }
}

/** A rule has one at most. */
function corsOf(filters: readonly WireFilter[], reading: Reading): CorsRules | undefined {
  const [found] = filters.flatMap(({ kind }) => (kind.case === 'cors' ? [kind.value] : []));
  if (found === undefined) return undefined;
  const { allowOrigins, allowMethods, allowHeaders, exposeHeaders } = found;
  const origins = allowOrigins.flatMap((origin) => {
    const rule = origin === '*' ? undefined : originRule(origin);
    if (rule === undefined && origin !== '*') {
      reading.problem(`${JSON.stringify(origin)} is no origin`);
    }
    return rule ?? [];
  });
  const names = (given: readonly string[]): string => {
    const bad = given.find((name) => !/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name));
    if (bad !== undefined) reading.problem(`${JSON.stringify(bad)} can't be allowed to pages`);
    return given.includes('*') ? '*' : given.join(', ');
  };
  return {
    origins: allowOrigins.includes('*') ? 'any' : origins,
    credentials: found.allowCredentials,
    methods: names(allowMethods),
    requestHeaders: names(allowHeaders),
    exposedHeaders: names(exposeHeaders),
    maxAgeS: found.maxAgeS,
  };
}

function editsOf(
  kind: 'request-headers' | 'response-headers',
  { set, add, remove }: WireModifier,
  reading: Reading,
): readonly RouteFilter[] {
  const edits = headEdits({ set: pairs(set), add: pairs(add), remove });
  if (!('invalidField' in edits)) return [{ kind, edits }];
  reading.problem(`header ${JSON.stringify(edits.invalidField)} can't be changed`);
  return [];
}

/** It becomes part of a head. */
function hostnameOf(text: string, reading: Reading): string | undefined {
  if (text === '') return undefined;
  if (!/^[0-9A-Za-z.-]+$/.test(text)) reading.problem(`${JSON.stringify(text)} is no host`);
  return text;
}

function schemeOf(text: string, reading: Reading): string | undefined {
  if (text === '') return undefined;
  if (text !== 'http' && text !== 'https') {
    reading.problem(`scheme ${JSON.stringify(text)} is not served`);
  }
  return text;
}

function rewriteOf(wire: WireRewrite | undefined, reading: Reading): PathRewrite | undefined {
  if (wire === undefined) return undefined;
  const { kind } = wire;
  if (kind.case !== undefined) {
    const value = sendableTarget(kind.value);
    return { kind: kind.case, value: value.startsWith('/') ? value : `/${value}` };
  }
  reading.problem('a path rewrite is of an unknown kind');
  return undefined;
}

function backendOf(wire: WireBackend, reading: Reading): RouteBackend {
  const { service, port, weight, filters, invalid } = wire;
  if (service === undefined && invalid === '') reading.problem('a backend is no service');
  return {
    service: { namespace: service?.namespace ?? '', hostname: service?.hostname ?? '' },
    port,
    weight,
    filters: filters.flatMap((filter) => filterOf(filter, reading)),
    invalid: invalid === '' ? undefined : invalid,
  };
}

function pairs(given: WireModifier['set']): [string, string][] {
  return given.map(({ name, value }) => [name, value]);
}
