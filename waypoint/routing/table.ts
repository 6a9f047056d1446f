import type { RequestHead } from '../request/head.ts';
import { matchHolds } from './match.ts';
import type { Route, RouteMatch, RouteRule, ServiceRef } from './model.ts';

/** What the routes of a service say about a request. */
export type RouteChoice =
  /** There are none: it goes to the service itself. */
  | { readonly kind: 'none' }
  /** There are some, and it meets no rule. */
  | { readonly kind: 'no-match' }
  | {
      readonly kind: 'rule';
      readonly rule: RouteRule;
      /** The prefix that was met, for rewrites. */
      readonly pathPrefix: string | undefined;
    };

/** One match of one rule; of these the first that holds decides. */
interface Candidate {
  readonly match: RouteMatch;
  readonly rule: RouteRule;
  readonly route: Route;
  /** Of the rule in its route, and of the match in its rule. */
  readonly order: number;
}

const NO_ROUTES: RouteChoice = { kind: 'none' };
const NO_MATCH: RouteChoice = { kind: 'no-match' };
const EVERYTHING: RouteMatch = { path: undefined, headers: [], query: [], method: undefined };

/** The routes that are known, by the service and port that they are attached to. */
export class RouteTable {
  readonly #routes = new Map<string, Route>();
  /** By service, then by port; of routes for all ports under 0. Keys of routes. */
  readonly #attached = new Map<string, Set<string>>();
  readonly #candidates = new Map<string, readonly Candidate[]>();

  /** Takes up changes. What is not named stays as it is. */
  apply(update: readonly Route[], remove: readonly string[]): void {
    for (const key of remove) this.#replace(key, undefined);
    for (const route of update) this.#replace(route.key, route);
  }

  /** All routes, for people. */
  routes(): Iterable<Route> {
    return this.#routes.values();
  }

  choose(service: ServiceRef, port: number, head: RequestHead): RouteChoice {
    const candidates = this.#candidatesFor(service, port);
    if (candidates === undefined) return NO_ROUTES;
    for (const { match, rule } of candidates) {
      if (!matchHolds(match, head)) continue;
      const pathPrefix = match.path?.kind === 'prefix' ? match.path.value : undefined;
      return { kind: 'rule', rule, pathPrefix };
    }
    return NO_MATCH;
  }

  #candidatesFor(service: ServiceRef, port: number): readonly Candidate[] | undefined {
    const name = serviceName(service);
    const attached = this.#attached.get(name);
    if (attached === undefined) return undefined;
    const cacheKey = `${name} ${port}`;
    const cached = this.#candidates.get(cacheKey);
    if (cached !== undefined) return cached.length === 0 ? undefined : cached;
    const routes = [...attached]
      .map((key) => this.#routes.get(key) as Route)
      .filter(({ parents }) =>
        parents.some(
          (parent) =>
            serviceName(parent) === name && (parent.port === undefined || parent.port === port),
        ),
      );
    const candidates = routes.flatMap(candidatesOf).toSorted(byPrecedence);
    this.#candidates.set(cacheKey, candidates);
    return candidates.length === 0 ? undefined : candidates;
  }

  #replace(key: string, route: Route | undefined): void {
    const before = this.#routes.get(key);
    for (const parent of [...(before?.parents ?? []), ...(route?.parents ?? [])]) {
      const name = serviceName(parent);
      for (const cacheKey of this.#candidates.keys()) {
        if (cacheKey.startsWith(`${name} `)) this.#candidates.delete(cacheKey);
      }
    }
    for (const parent of before?.parents ?? []) this.#detach(serviceName(parent), key);
    if (route === undefined) this.#routes.delete(key);
    else {
      this.#routes.set(key, route);
      for (const parent of route.parents) this.#attach(serviceName(parent), key);
    }
  }

  #attach(service: string, key: string): void {
    let attached = this.#attached.get(service);
    if (attached === undefined) {
      attached = new Set();
      this.#attached.set(service, attached);
    }
    attached.add(key);
  }

  #detach(service: string, key: string): void {
    const attached = this.#attached.get(service);
    attached?.delete(key);
    if (attached?.size === 0) this.#attached.delete(service);
  }
}

function serviceName({ namespace, hostname }: ServiceRef): string {
  return `${namespace}/${hostname}`;
}

function candidatesOf(route: Route): readonly Candidate[] {
  return route.rules.flatMap((rule, ruleIndex) => {
    const matches = rule.matches.length === 0 ? [EVERYTHING] : rule.matches;
    return matches.map((match) => ({ match, rule, route, order: ruleIndex }));
  });
}

/**
 * Which of two matches goes first (Gateway API, HTTPRouteRule): an exact path, a longer prefix, a method, more
 * headers, more query parameters; of equal ones the older route, the name, the rule's place.
 */
function byPrecedence(one: Candidate, other: Candidate): number {
  return (
    pathRank(other.match) - pathRank(one.match) ||
    pathLength(other.match) - pathLength(one.match) ||
    Number(other.match.method !== undefined) - Number(one.match.method !== undefined) ||
    other.match.headers.length - one.match.headers.length ||
    other.match.query.length - one.match.query.length ||
    one.route.createdMs - other.route.createdMs ||
    compareText(nameOf(one.route), nameOf(other.route)) ||
    one.order - other.order
  );
}

function pathRank({ path }: RouteMatch): number {
  if (path?.kind === 'exact') return 2;
  // No path at all is the prefix of everything.
  return path?.kind === 'regex' ? 0 : 1;
}

function pathLength({ path }: RouteMatch): number {
  return path === undefined || (path.kind === 'prefix' && path.value === '/')
    ? 0
    : path.value.length;
}

function nameOf({ namespace, name }: Route): string {
  return `${namespace}/${name}`;
}

function compareText(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
