import { comparablePath } from '../request/normalize.ts';

/** A path with `{*}` (one segment) and `{**}` (any number, none too), as AuthorizationPolicy has it. */
export interface PathTemplate {
  readonly text: string;
  /** Segments; up to `{**}`, if it is there. A plain one has no braces. */
  readonly before: readonly string[];
  /** Behind `{**}`; undefined: it is not there. */
  readonly after: readonly string[] | undefined;
}

const ONE = '{*}';
const MANY = '{**}';

/** Undefined: the text is no template. `{**}` may be there once, and nothing may share a segment with either. */
export function parsePathTemplate(text: string): PathTemplate | undefined {
  if (!text.startsWith('/')) return undefined;
  const segments = text.slice(1).split('/');
  const isPlain = segments.every((one) => one === ONE || one === MANY || !/[{}*]/.test(one));
  const many = segments.indexOf(MANY);
  if (!isPlain || many !== segments.lastIndexOf(MANY)) return undefined;
  const comparable = segments.map((one) => (one === ONE ? one : comparablePath(one)));
  if (many === -1) return { text, before: comparable, after: undefined };
  return { text, before: comparable.slice(0, many), after: comparable.slice(many + 1) };
}

/** `path`: without its query. */
export function templateMatches({ before, after }: PathTemplate, path: string): boolean {
  const given = path.slice(1).split('/');
  if (after === undefined) return given.length === before.length && areMet(before, given, 0);
  const rest = given.length - after.length;
  return rest >= before.length && areMet(before, given, 0) && areMet(after, given, rest);
}

/** Are the segments from `from` on what is wanted? */
function areMet(wanted: readonly string[], given: readonly string[], from: number): boolean {
  return wanted.every((one, index) => {
    const segment = given[from + index];
    return one === ONE ? segment !== '' : one === segment;
  });
}
