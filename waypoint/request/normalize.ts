/**
 * The path that decisions are made about, and that is forwarded: dots resolved, what need not be escaped not escaped,
 * backslashes as slashes (RFC 3986 section 6.2.2; Istio's mode BASE). Escaped slashes and repeated ones stay. The query
 * stays as it is. Undefined: it is no path, or leads above its root.
 */
export function normalizePath(target: string): string | undefined {
  if (target === '*') return target;
  if (target.charCodeAt(0) !== SLASH || target.includes('#')) return undefined;
  const question = target.indexOf('?');
  const path = question === -1 ? target : target.slice(0, question);
  // Nearly all paths are what they should be.
  if (!/[%\\]|\/\.{1,2}(?:\/|$)/.test(path)) return target;
  const unescaped = unescape(path.replaceAll('\\', '/'));
  const resolved = unescaped === undefined ? undefined : withoutDots(unescaped);
  if (resolved === undefined) return undefined;
  return question === -1 ? resolved : resolved + target.slice(question);
}

const SLASH = 0x2f;

/** Letters, digits and -._~ need no escape; other escapes are written in capitals. Undefined: half an escape. */
function unescape(path: string): string | undefined {
  if (/%(?![0-9A-Fa-f]{2})/.test(path)) return undefined;
  return path.replaceAll(/%[0-9A-Fa-f]{2}/g, (escape) => {
    const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    return /[0-9A-Za-z\-._~]/.test(character) ? character : escape.toUpperCase();
  });
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
