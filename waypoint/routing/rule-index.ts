import type { RequestHead } from '../request/head.ts';
import { AskedRequest, endsSegment, matchHolds, withoutSlash } from './match.ts';
import type { NamedRule, Route, RouteMatch, RouteRule } from './model.ts';
import { byPrecedence, type Candidate } from './precedence.ts';

/** A rule that takes a request. */
export interface TakenRule {
  readonly kind: 'rule';
  readonly rule: RouteRule;
  /** The prefix that was met, for rewrites. */
  readonly pathPrefix: string | undefined;
}

/** A candidate with its place among all. */
interface Ranked {
  readonly rank: number;
  readonly match: RouteMatch;
  readonly taken: TakenRule;
}

/**
 * Finds the first match in order of precedence without looking at all of them: at those of the path, of the prefixes
 * that the path has, and of expressions; of these at the ones that want a value which the request has. What is
 * looked at is always judged as a whole: the index leaves out, it never decides.
 */
export class RuleIndex {
  readonly #exact: ReadonlyMap<string, Shelf>;
  /** By prefix without the slash at its end. */
  readonly #prefixes: ReadonlyMap<string, Shelf>;
  /** Of prefixes, the longest first. */
  readonly #lengths: readonly number[];
  /** Without a path, or with one that is a prefix of every other. */
  readonly #anywhere: Shelf;
  /** By what they begin with, if that stands for itself. */
  readonly #expressions: ReadonlyMap<string, Shelf>;
  readonly #beginnings: readonly number[];

  constructor(routes: readonly Route[]) {
    const ranked = byPrecedence(routes).map(rank);
    const exact = ranked.filter(({ match }) => match.path?.kind === 'exact');
    const prefixed = ranked.filter(({ match }) => !['', undefined].includes(prefix(match)));
    this.#exact = shelves(exact, ({ path }) => path?.value ?? '');
    this.#prefixes = shelves(prefixed, (match) => prefix(match) ?? '');
    this.#lengths = lengthsOf(this.#prefixes);
    this.#anywhere = new Shelf(ranked.filter(({ match }) => prefix(match) === ''));
    const expressions = ranked.filter(({ match }) => match.path?.kind === 'regex');
    this.#expressions = shelves(expressions, beginning);
    this.#beginnings = lengthsOf(this.#expressions);
  }

  /** Undefined: the request meets none. */
  find(head: RequestHead): TakenRule | undefined {
    const asked = new AskedRequest(head);
    const found =
      this.#exact.get(asked.path)?.first(asked) ??
      this.#firstPrefix(asked) ??
      this.#anywhere.first(asked) ??
      this.#firstExpression(asked);
    return found?.taken;
  }

  #firstPrefix(asked: AskedRequest): Ranked | undefined {
    const { path } = asked;
    for (const length of this.#lengths) {
      if (length > path.length || !endsSegment(path, length)) continue;
      const found = this.#prefixes.get(path.slice(0, length))?.first(asked);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #firstExpression(asked: AskedRequest): Ranked | undefined {
    const { path } = asked;
    let first: Ranked | undefined;
    for (const length of this.#beginnings) {
      if (length > path.length) continue;
      first = this.#expressions.get(path.slice(0, length))?.first(asked, first) ?? first;
    }
    return first;
  }
}

/** Fewer are looked at one after the other: that is quicker than reading a value and looking it up. */
const FILED_MIN = 4;

/** Candidates that nothing more is known of than their path, filed by a value that they want. */
class Shelf {
  readonly #files: readonly File[];
  readonly #others: readonly Ranked[];

  constructor(candidates: readonly Ranked[]) {
    const files: File[] = [];
    let others = candidates;
    for (;;) {
      const key = commonest(others);
      if (key === undefined) break;
      const file = new File(key, others);
      files.push(file);
      others = others.filter(({ match }) => wanted(match, key) === undefined);
    }
    this.#files = files;
    this.#others = others;
  }

  /** The first that holds, unless `before` precedes it. */
  first(asked: AskedRequest, before?: Ranked): Ranked | undefined {
    let first = firstOf(this.#others, asked, before);
    for (const file of this.#files) first = firstOf(file.having(asked), asked, first);
    return first;
  }
}

/** What candidates want to be exactly so: a header, a query parameter, or the method. */
interface FileKey {
  readonly part: 'headers' | 'query' | 'method';
  readonly name: string;
}

class File {
  readonly #key: FileKey;
  readonly #byValue = new Map<string, Ranked[]>();

  constructor(key: FileKey, candidates: readonly Ranked[]) {
    this.#key = key;
    for (const candidate of candidates) {
      const value = wanted(candidate.match, key);
      if (value === undefined) continue;
      const before = this.#byValue.get(value);
      if (before === undefined) this.#byValue.set(value, [candidate]);
      else before.push(candidate);
    }
  }

  having(asked: AskedRequest): readonly Ranked[] {
    const { part, name } = this.#key;
    const value =
      part === 'method'
        ? asked.method
        : part === 'headers'
          ? asked.header(name)
          : asked.query(name);
    return (value === undefined ? undefined : this.#byValue.get(value)) ?? NONE;
  }
}

const NONE: readonly Ranked[] = [];

/** The first that holds, unless `before` precedes it. */
function firstOf(
  candidates: readonly Ranked[],
  asked: AskedRequest,
  before: Ranked | undefined,
): Ranked | undefined {
  for (const candidate of candidates) {
    if (before !== undefined && before.rank < candidate.rank) return before;
    if (matchHolds(candidate.match, asked)) return candidate;
  }
  return before;
}

/** What most of them want to be exactly so, if they are enough; the method, which tells few apart, only at last. */
function commonest(candidates: readonly Ranked[]): FileKey | undefined {
  if (candidates.length < FILED_MIN) return undefined;
  const counts = new Map<string, { readonly key: FileKey; count: number }>();
  let most: { readonly key: FileKey; count: number } | undefined;
  for (const { match } of candidates) {
    for (const part of ['headers', 'query'] as const) {
      for (const { name, rule } of match[part]) {
        if (rule.kind !== 'exact') continue;
        const id = `${part} ${name}`;
        const counted = counts.get(id) ?? { key: { part, name }, count: 0 };
        counts.set(id, counted);
        counted.count++;
        if (counted.count > (most?.count ?? 0)) most = counted;
      }
    }
  }
  if (most !== undefined && most.count >= FILED_MIN) return most.key;
  const methods = candidates.filter(({ match }) => match.method !== undefined).length;
  return methods >= FILED_MIN ? { part: 'method', name: '' } : undefined;
}

function wanted(match: RouteMatch, { part, name }: FileKey): string | undefined {
  if (part === 'method') return match.method;
  const found = match[part].find(
    (one: NamedRule) => one.name === name && one.rule.kind === 'exact',
  );
  return found?.rule.kind === 'exact' ? found.rule.value : undefined;
}

function shelves(
  candidates: readonly Ranked[],
  keyOf: (match: RouteMatch) => string,
): ReadonlyMap<string, Shelf> {
  const grouped = Map.groupBy(candidates, ({ match }) => keyOf(match));
  return new Map(Array.from(grouped, ([key, group]) => [key, new Shelf(group)]));
}

/** The longest first. */
function lengthsOf(shelved: ReadonlyMap<string, Shelf>): readonly number[] {
  const lengths = new Set(Array.from(shelved.keys(), ({ length }) => length));
  return [...lengths].toSorted((one, other) => other - one);
}

function beginning({ path }: RouteMatch): string {
  return path?.kind === 'regex' ? path.beginning : '';
}

/** Empty: of every path. Undefined: the match wants something else of the path. */
function prefix({ path }: RouteMatch): string | undefined {
  if (path === undefined) return '';
  return path.kind === 'prefix' ? withoutSlash(path.value) : undefined;
}

function rank({ match, rule }: Candidate, index: number): Ranked {
  const { path } = match;
  const pathPrefix = path?.kind === 'prefix' ? path.value : undefined;
  return { rank: index, match, taken: { kind: 'rule', rule, pathPrefix } };
}
