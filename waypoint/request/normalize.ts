/**
 * The path that decisions are made about, and that is forwarded: dots resolved, what need not be escaped not escaped,
 * what no path may hold escaped, backslashes as slashes (RFC 3986 section 6.2.2; Istio's mode BASE). Escaped slashes and
 * repeated ones stay. The query stays as it is. Undefined: it is no path, holds an escaped NUL, or leads above its root.
 */
export function normalizePath(target: string): string | undefined {
  if (target === '*') return target;
  if (target.charCodeAt(0) !== SLASH || target.includes('#')) return undefined;
  const question = target.indexOf('?');
  const path = question === -1 ? target : target.slice(0, question);
  // Nearly all paths are what they should be.
  if (!/[^!$&-;=@-Z_a-z~]|\/\.{1,2}(?:\/|$)/.test(path)) return target;
  if (/%(?![0-9A-Fa-f]{2})|%00/.test(path)) return undefined;
  const resolved = withoutDots(normalizeEscapes(path.replaceAll('\\', '/')));
  if (resolved === undefined) return undefined;
  return question === -1 ? resolved : resolved + target.slice(question);
}

const SLASH = 0x2f;

/**
 * The spelling in which all texts are equal that say the same (RFC 3986 sections 2.1 to 2.3): letters, digits and -._~
 * are not escaped, other escapes are written in capitals, and what no path may hold is escaped byte by byte.
 */
export function normalizeEscapes(path: string): string {
  return path.replaceAll(/%[0-9A-Fa-f]{2}|[^!$&-;=@-Z_a-z~%]/g, (part) => {
    if (part.length === 1) return escaped(part.charCodeAt(0));
    const character = String.fromCharCode(Number.parseInt(part.slice(1), 16));
    return /[0-9A-Za-z\-._~]/.test(character) ? character : part.toUpperCase();
  });
}

/** A path, or a part of one, as somebody has written it for requests to be compared with. */
export function comparablePath(text: string): string {
  return normalizeEscapes(Buffer.from(text).toString('latin1'));
}

/** What somebody has written for a path, perhaps with a query, so that a request may have it as its target. */
export function sendableTarget(text: string): string {
  const question = text.indexOf('?');
  if (question === -1) return comparablePath(text);
  const query = Buffer.from(text.slice(question)).toString('latin1');
  const sendable = query.replaceAll(/[^!"$-~]/g, (character) => escaped(character.charCodeAt(0)));
  return comparablePath(text.slice(0, question)) + sendable;
}

function escaped(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
}

/** RFC 3986 section 5.2.4. */
function withoutDots(path: string): string | undefined {
  const kept: string[] = [];
  const segments = path.slice(1).split('/');
  for (const [index, segment] of segments.entries()) {
    const isLast = index === segments.length - 1;
    if (segment === '..') {
      if (kept.length === 0) return undefined;
      kept.pop();
      if (isLast) kept.push('');
    } else if (segment === '.') {
      if (isLast) kept.push('');
    } else kept.push(segment);
  }
  return `/${kept.join('/')}`;
}
