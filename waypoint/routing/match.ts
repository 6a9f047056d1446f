import type { RequestHead } from '../request/head.ts';
import type { NamedRule, PathRule, RouteMatch, TextRule } from './model.ts';
import { isWhole } from './regex.ts';

/** A request as matches look at it: what they need of its target is taken apart once. */
export class AskedRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly #head: RequestHead;
  #parameters: URLSearchParams | undefined;

  constructor(head: RequestHead) {
    this.#head = head;
    this.method = head.method;
    this.path = pathOf(head.path);
  }

  /** `name`: in lower case. Host is where the request goes, whatever the protocol calls it. */
  header(name: string): string | undefined {
    return name === 'host' ? this.#head.authority : this.#head.header(name);
  }

  /** The first value of a name counts (Gateway API, HTTPQueryParamMatch). */
  query(name: string): string | undefined {
    this.#parameters ??= new URLSearchParams(this.#head.path.slice(this.path.length + 1));
    return this.#parameters.get(name) ?? undefined;
  }
}

/** Does a request meet a match? (Gateway API, HTTPRouteMatch: everything that is set.) */
export function matchHolds(match: RouteMatch, asked: AskedRequest): boolean {
  return (
    (match.method === undefined || match.method === asked.method) &&
    (match.path === undefined || pathHolds(match.path, asked.path)) &&
    match.headers.every((rule) => valueHolds(rule, asked.header(rule.name))) &&
    match.query.every((rule) => valueHolds(rule, asked.query(rule.name)))
  );
}

/** A path without its query. */
export function pathOf(target: string): string {
  const question = target.indexOf('?');
  return question === -1 ? target : target.slice(0, question);
}

/** A prefix without the slash at its end, which does not matter. */
export function withoutSlash(prefix: string): string {
  return prefix.endsWith('/') ? prefix.slice(0, -1) : prefix;
}

/** Whether a prefix of this length, of {@link withoutSlash}, ends where a segment of the path does. */
export function endsSegment(path: string, length: number): boolean {
  return path.length === length || path.charCodeAt(length) === SLASH;
}

const SLASH = 0x2f;

function pathHolds(rule: PathRule, path: string): boolean {
  switch (rule.kind) {
    case 'exact':
      return path === rule.value;
    case 'prefix': {
      const prefix = withoutSlash(rule.value);
      return path.startsWith(prefix) && endsSegment(path, prefix.length);
    }
    case 'regex':
      return textHolds(rule, path);
  }
}

function valueHolds({ rule }: NamedRule, value: string | undefined): boolean {
  return value !== undefined && textHolds(rule, value);
}

function textHolds(rule: TextRule, text: string): boolean {
  return rule.kind === 'exact' ? text === rule.value : isWhole(rule, text);
}
