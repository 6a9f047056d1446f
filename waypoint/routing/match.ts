import type { RequestHead } from '../request/head.ts';
import type { NamedRule, PathRule, RouteMatch, TextRule } from './model.ts';

/** Does a request meet a match? (Gateway API, HTTPRouteMatch: everything that is set.) */
export function matchHolds(match: RouteMatch, head: RequestHead): boolean {
  return (
    (match.method === undefined || match.method === head.method) &&
    (match.path === undefined || pathHolds(match.path, pathOf(head.path))) &&
    match.headers.every((header) => headerHolds(header, head)) &&
    (match.query.length === 0 || queryHolds(match.query, head.path))
  );
}

/** A path without its query. */
export function pathOf(target: string): string {
  const question = target.indexOf('?');
  return question === -1 ? target : target.slice(0, question);
}

function pathHolds(rule: PathRule, path: string): boolean {
  switch (rule.kind) {
    case 'exact':
      return path === rule.value;
    case 'prefix':
      return isBelow(path, rule.value);
    case 'regex':
      return rule.pattern.matches(path);
  }
}

/** By whole segments; a slash at the end of the prefix does not matter. */
function isBelow(path: string, prefix: string): boolean {
  const length = prefix.endsWith('/') ? prefix.length - 1 : prefix.length;
  if (!path.startsWith(length === prefix.length ? prefix : prefix.slice(0, length))) return false;
  return path.length === length || path.charCodeAt(length) === SLASH;
}

const SLASH = 0x2f;

function headerHolds({ name, rule }: NamedRule, head: RequestHead): boolean {
  // Host is where the request goes, whatever the protocol calls it.
  const value = name === 'host' ? head.authority : head.header(name);
  return value !== undefined && textHolds(rule, value);
}

/** The first value of a name counts (Gateway API, HTTPQueryParamMatch). */
function queryHolds(rules: readonly NamedRule[], target: string): boolean {
  const question = target.indexOf('?');
  const query = new URLSearchParams(question === -1 ? '' : target.slice(question + 1));
  return rules.every(({ name, rule }) => {
    const value = query.get(name);
    return value !== null && textHolds(rule, value);
  });
}

function textHolds(rule: TextRule, text: string): boolean {
  return rule.kind === 'exact' ? text === rule.value : rule.pattern.matches(text);
}
