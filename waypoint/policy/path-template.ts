import { comparablePath } from '../request/normalize.ts';

/** A path with `{*}` (one segment) and `{**}` (any number, none too), as AuthorizationPolicy has it. */
export interface PathTemplate {
  readonly text: string;
  /** A plain one has no braces. */
  readonly segments: readonly string[];
}

const ONE = '{*}';
const MANY = '{**}';

/** Undefined: the text is no template. `{**}` may be there once, and nothing may share a segment with either. */
export function parsePathTemplate(text: string): PathTemplate | undefined {
  if (!text.startsWith('/')) return undefined;
  const segments = text.slice(1).split('/');
  const isPlain = segments.every((one) => one === ONE || one === MANY || !/[{}*]/.test(one));
  const many = segments.filter((one) => one === MANY).length;
  if (!isPlain || many > 1) return undefined;
  const comparable = segments.map((one) =>
    one === ONE || one === MANY ? one : comparablePath(one),
  );
  return { text, segments: comparable };
}

/** `path`: without its query. */
export function templateMatches({ segments }: PathTemplate, path: string): boolean {
  const given = path.slice(1).split('/');
  const many = segments.indexOf(MANY);
  if (many === -1) return given.length === segments.length && areMet(segments, given);
  const before = segments.slice(0, many);
  const after = segments.slice(many + 1);
  return (
    given.length >= before.length + after.length &&
    areMet(before, given.slice(0, before.length)) &&
    areMet(after, given.slice(given.length - after.length))
  );
}

function areMet(wanted: PathTemplate['segments'], given: readonly string[]): boolean {
  return wanted.every((one, index) => (one === ONE ? given[index] !== '' : one === given[index]));
}
