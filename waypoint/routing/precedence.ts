import type { Route, RouteMatch, RouteRule } from './model.ts';

/** One match of one rule; of these the first that holds decides. */
export interface Candidate {
  readonly match: RouteMatch;
  readonly rule: RouteRule;
}

interface Placed extends Candidate {
  readonly route: Route;
  /** Of the rule in its route. */
  readonly order: number;
}

const EVERYTHING: RouteMatch = { path: undefined, headers: [], query: [], method: undefined };

/**
 * All matches of some routes, those first that precede (Gateway API, HTTPRouteRule): an exact path, a longer prefix, a
 * method, more headers, more query parameters; of equal ones the older route, the name, the rule's place.
 */
export function byPrecedence(routes: readonly Route[]): readonly Candidate[] {
  return routes.flatMap(placedOf).toSorted(compare);
}

/** A rule without matches holds always. */
function placedOf(route: Route): readonly Placed[] {
  return route.rules.flatMap((rule, order) => {
    const matches = rule.matches.length === 0 ? [EVERYTHING] : rule.matches;
    return matches.map((match) => ({ match, rule, route, order }));
  });
}

function compare(one: Placed, other: Placed): number {
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
